#include "build.h"

bool cli_is_static(void)
{
    return false;
}
