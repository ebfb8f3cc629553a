#include "analysis/analysis.h"

void hw_analyses_begin(struct hw_report *r)
{
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->begin)
            hw_analyses[i]->begin(r);
}

void hw_analyses_block(struct hw_report *r, const struct hw_block *b)
{
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->block)
            hw_analyses[i]->block(r, b);
}

void hw_analyses_end(struct hw_report *r)
{
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->end)
            hw_analyses[i]->end(r);
}

const struct hw_analysis *const hw_analyses[] = {
    &hw_analysis_usage, &hw_analysis_histogram, &hw_analysis_fragmentation,
    &hw_analysis_trim,  &hw_analysis_mallinfo,  NULL,
};
