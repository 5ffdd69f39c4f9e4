#include "textflag.h"

// One group is four rounds of one lane: abcd is its state, e gets the fifth
// word, saved what the next group makes its fifth word of, cur the words.
#define ROUNDS(f, abcd, e, saved, cur) \
	SHA1NEXTE cur, e;      \
	MOVO      abcd, saved; \
	SHA1RNDS4 $f, e, abcd

// GROUP also goes on with the words of the three groups behind this one.
#define GROUP(f, abcd, e, saved, cur, next, prev, over) \
	SHA1NEXTE cur, e;      \
	MOVO      abcd, saved; \
	SHA1MSG2  cur, next;   \
	SHA1RNDS4 $f, e, abcd; \
	SHA1MSG1  cur, prev;   \
	PXOR      cur, over

// FIRST begins a block: the fifth word is not yet to be rotated.
#define FIRST(abcd, e, saved, cur) \
	PADDD     cur, e;      \
	MOVO      abcd, saved; \
	SHA1RNDS4 $0, e, abcd

// LOAD reads the words of a group.
#define LOAD(i, from, cur) \
	MOVOU  (i*16)(from), cur; \
	PSHUFB X14, cur

// The lanes, each group after the other's: neither waits for the other, so
// that the processor fills the pauses of one with the other.

// func twoSHA1(state *[16]uint32, a, b *byte, n int)
TEXT ·twoSHA1(SB), NOSPLIT, $0-32
	MOVQ  state+0(FP), DI
	MOVQ  a+8(FP), SI
	MOVQ  b+16(FP), DX
	MOVQ  n+24(FP), CX
	MOVOU turn<>(SB), X14
	MOVOU 0(DI), X0
	MOVOU 16(DI), X1
	MOVOU 32(DI), X7
	MOVOU 48(DI), X8

loop:
	MOVOU X0, 0(DI)
	MOVOU X1, 16(DI)
	MOVOU X7, 32(DI)
	MOVOU X8, 48(DI)
	LOAD(0, SI, X3)
	FIRST(X0, X1, X2, X3)
	LOAD(0, DX, X10)
	FIRST(X7, X8, X9, X10)
	LOAD(1, SI, X4)
	ROUNDS(0, X0, X2, X1, X4)
	SHA1MSG1 X4, X3
	LOAD(1, DX, X11)
	ROUNDS(0, X7, X9, X8, X11)
	SHA1MSG1 X11, X10
	LOAD(2, SI, X5)
	ROUNDS(0, X0, X1, X2, X5)
	SHA1MSG1 X5, X4
	PXOR X5, X3
	LOAD(2, DX, X12)
	ROUNDS(0, X7, X8, X9, X12)
	SHA1MSG1 X12, X11
	PXOR X12, X10
	LOAD(3, SI, X6)
	GROUP(0, X0, X2, X1, X6, X3, X5, X4)
	LOAD(3, DX, X13)
	GROUP(0, X7, X9, X8, X13, X10, X12, X11)
	GROUP(0, X0, X1, X2, X3, X4, X6, X5)
	GROUP(0, X7, X8, X9, X10, X11, X13, X12)
	GROUP(1, X0, X2, X1, X4, X5, X3, X6)
	GROUP(1, X7, X9, X8, X11, X12, X10, X13)
	GROUP(1, X0, X1, X2, X5, X6, X4, X3)
	GROUP(1, X7, X8, X9, X12, X13, X11, X10)
	GROUP(1, X0, X2, X1, X6, X3, X5, X4)
	GROUP(1, X7, X9, X8, X13, X10, X12, X11)
	GROUP(1, X0, X1, X2, X3, X4, X6, X5)
	GROUP(1, X7, X8, X9, X10, X11, X13, X12)
	GROUP(1, X0, X2, X1, X4, X5, X3, X6)
	GROUP(1, X7, X9, X8, X11, X12, X10, X13)
	GROUP(2, X0, X1, X2, X5, X6, X4, X3)
	GROUP(2, X7, X8, X9, X12, X13, X11, X10)
	GROUP(2, X0, X2, X1, X6, X3, X5, X4)
	GROUP(2, X7, X9, X8, X13, X10, X12, X11)
	GROUP(2, X0, X1, X2, X3, X4, X6, X5)
	GROUP(2, X7, X8, X9, X10, X11, X13, X12)
	GROUP(2, X0, X2, X1, X4, X5, X3, X6)
	GROUP(2, X7, X9, X8, X11, X12, X10, X13)
	GROUP(2, X0, X1, X2, X5, X6, X4, X3)
	GROUP(2, X7, X8, X9, X12, X13, X11, X10)
	GROUP(3, X0, X2, X1, X6, X3, X5, X4)
	GROUP(3, X7, X9, X8, X13, X10, X12, X11)
	GROUP(3, X0, X1, X2, X3, X4, X6, X5)
	GROUP(3, X7, X8, X9, X10, X11, X13, X12)
	SHA1NEXTE X4, X2
	MOVO X0, X1
	SHA1MSG2 X4, X5
	SHA1RNDS4 $3, X2, X0
	PXOR X4, X6
	SHA1NEXTE X11, X9
	MOVO X7, X8
	SHA1MSG2 X11, X12
	SHA1RNDS4 $3, X9, X7
	PXOR X11, X13
	SHA1NEXTE X5, X1
	MOVO X0, X2
	SHA1MSG2 X5, X6
	SHA1RNDS4 $3, X1, X0
	SHA1NEXTE X12, X8
	MOVO X7, X9
	SHA1MSG2 X12, X13
	SHA1RNDS4 $3, X8, X7
	ROUNDS(3, X0, X2, X1, X6)
	ROUNDS(3, X7, X9, X8, X13)
	// After group 19 the fifth word is in the register that group 20 would have used.
	MOVOU 16(DI), X14
	SHA1NEXTE X14, X1
	MOVOU 48(DI), X14
	SHA1NEXTE X14, X8
	MOVOU 0(DI), X14
	PADDD X14, X0
	MOVOU 32(DI), X14
	PADDD X14, X7
	MOVOU turn<>(SB), X14
	ADDQ $64, SI
	ADDQ $64, DX
	DECQ CX
	JNZ  loop
	MOVOU X0, 0(DI)
	MOVOU X1, 16(DI)
	MOVOU X7, 32(DI)
	MOVOU X8, 48(DI)
	RET

// turn makes the first of four big-endian words the highest.
DATA turn<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA turn<>+8(SB)/8, $0x0001020304050607
GLOBL turn<>(SB), RODATA|NOPTR, $16
