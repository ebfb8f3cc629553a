#include "cli/build.h"

bool cli_is_static(void)
{
    return true;
}
