/*
 * Leaks are looked for in each test's process. criterion itself, which starts these, leaks where it
 * runs several at once, and takes no notice of what one says after its last assertion: tests/run.sh
 * counts what is found.
 */
#include <stdlib.h>

/* What LeakSanitizer asks before it looks (sanitizer/lsan_interface.h). */
int __lsan_is_turned_off(void); // NOLINT(bugprone-reserved-identifier): its name, not ours

int __lsan_is_turned_off(void) // NOLINT(bugprone-reserved-identifier)
{
    return !getenv("BXFI_MAP"); // BoxFort's, which criterion uses: set in a test's process
}
