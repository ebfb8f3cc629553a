#include "base/when.h"

#include <stdio.h>
#include <time.h>

#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define YEAR_9999 INT64_C(253402300799)

int64_t hw_wall_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

char *hw_format_utc(char buf[HW_WHEN_TEXT], int64_t ns)
{
    time_t seconds = (time_t)(ns / NS_PER_S);
    struct tm tm;
    char date[HW_WHEN_TEXT];
    buf[0] = '\0';
    if (ns < 0 || seconds > YEAR_9999 || !gmtime_r(&seconds, &tm) ||
        !strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm))
        return buf;
    snprintf(buf, HW_WHEN_TEXT, "%.19s.%03dZ", date, (int)(ns % NS_PER_S / NS_PER_MS));
    return buf;
}

char *hw_format_local(char buf[HW_WHEN_TEXT], int64_t ns)
{
    time_t seconds = (time_t)(ns / NS_PER_S);
    struct tm tm;
    buf[0] = '\0';
    if (localtime_r(&seconds, &tm))
        strftime(buf, HW_WHEN_TEXT, "%H:%M:%S", &tm);
    return buf;
}
