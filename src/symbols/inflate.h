/*
 * Sections of an ELF file as libdw needs them: inflated, faster than libelf does it, and with an
 * end to each text in them.
 */
#ifndef HW_SYMBOLS_INFLATE_H
#define HW_SYMBOLS_INFLATE_H

#include <gelf.h>
#include <stdbool.h>

/*
 * Inflate a section of `elf` that zlib compressed (SHF_COMPRESSED with ELFCOMPRESS_ZLIB), and let
 * `scn` hold what came out, as if the file did. Only libelf's memory changes, never the file. The
 * caller frees the buffer that is returned, after elf_end(). NULL: the section was left as it is,
 * because it is not compressed that way, inflates to another size than it says, or there is no
 * memory.
 */
void *hw_inflate_section(Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr);

/*
 * libdw gives out texts without looking for their end, so a section whose last text has none would
 * be read beyond. If `scn`, which is not compressed (any more), does not end in NUL, let it hold a
 * copy that is followed by one. False if there is no memory. *ret: to be freed by the caller after
 * elf_end(), or NULL.
 */
bool hw_terminate_section(Elf_Scn *scn, void **ret);

#endif
