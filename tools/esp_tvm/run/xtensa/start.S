/* Start and the calls of the emulator (qemu-system-xtensa -M sim -semihosting), for cores without register windows. */

/* What simcall is asked for, in a2. */
#define EXIT 1

    /* The core starts at the first address of flash. */
    .section .start, "ax"
    .global reset
reset:
    j       start
    .align 4
    .literal_position
start:
    movi    a0, 0
    movi    a1, stack_top
    call0   main
    mov     a3, a2
    movi    a2, EXIT
    simcall

/* int emulator_call(int number, int, int, int): the arguments lie in the registers in which simcall expects them. */
    .section .text.emulator_call, "ax"
    .align 4
    .global emulator_call
emulator_call:
    simcall
    ret

/* An exception ends the program: a load of an address that is not there, an instruction that this core has not. */
    .macro failed where
    .org    \where
    movi    a3, 127
    movi    a2, EXIT
    simcall
    .endm

    .section .vectors, "ax"
    failed  0x10 /* debug */
    failed  0x20 /* non-maskable interrupt */
    failed  0x30 /* kernel mode */
    failed  0x50 /* user mode */
    failed  0x70 /* within an exception */
