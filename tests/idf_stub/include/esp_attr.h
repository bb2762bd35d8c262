#pragma once
#define EXT_RAM_BSS_ATTR __attribute__((section(".ext_ram.bss")))
#define DRAM_ATTR __attribute__((section(".dram1")))
