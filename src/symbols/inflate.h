/*
 * Compressed sections of an ELF file, inflated faster than libelf does it.
 */
#ifndef HW_SYMBOLS_INFLATE_H
#define HW_SYMBOLS_INFLATE_H

#include <gelf.h>

/*
 * Inflate a section of `elf` that zlib compressed (SHF_COMPRESSED with ELFCOMPRESS_ZLIB), and let `scn` hold
 * what came out, as if the file did. Only libelf's memory changes, never the file. The caller frees
 * the buffer that is returned, after elf_end(). NULL: the section was left as it is, because it is
 * not compressed that way, inflates to another size than it says, or there is no memory.
 */
void *hw_inflate_section(Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr);

#endif
