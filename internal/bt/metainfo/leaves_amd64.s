#include "textflag.h"

// One group is four rounds of one lane. abef and cdgh are its state, cur the
// words of this group. SHA256RNDS2 takes its words from X0.
#define ROUNDS(i, abef, cdgh, cur) \
	MOVO        cur, X0;          \
	PADDD       (i*16)(AX), X0;   \
	SHA256RNDS2 X0, abef, cdgh;   \
	PSHUFD      $0x0e, X0, X0;    \
	SHA256RNDS2 X0, cdgh, abef

// NEXT finishes the words of the group behind this one.
#define NEXT(prev, cur, next) \
	MOVO       cur, X13;      \
	PALIGNR    $4, prev, X13; \
	PADDD      X13, next;     \
	SHA256MSG2 cur, next

// The lanes, each group after the other's: neither waits for the other, so
// that the processor fills the pauses of one with the other.

// func twoBlocks(state *[16]uint32, a, b *byte, n int)
TEXT ·twoBlocks(SB), NOSPLIT, $0-32
	MOVQ  state+0(FP), DI
	MOVQ  a+8(FP), SI
	MOVQ  b+16(FP), DX
	MOVQ  n+24(FP), CX
	LEAQ  words<>(SB), AX
	MOVOU swap<>(SB), X14
	MOVOU 0(DI), X1
	MOVOU 16(DI), X2
	MOVOU 32(DI), X7
	MOVOU 48(DI), X8

loop:
	MOVOU X1, 0(DI)
	MOVOU X2, 16(DI)
	MOVOU X7, 32(DI)
	MOVOU X8, 48(DI)
	MOVOU 0(SI), X3
	PSHUFB X14, X3
	MOVOU 16(SI), X4
	PSHUFB X14, X4
	MOVOU 32(SI), X5
	PSHUFB X14, X5
	MOVOU 48(SI), X6
	PSHUFB X14, X6
	MOVOU 0(DX), X9
	PSHUFB X14, X9
	MOVOU 16(DX), X10
	PSHUFB X14, X10
	MOVOU 32(DX), X11
	PSHUFB X14, X11
	MOVOU 48(DX), X12
	PSHUFB X14, X12
	ROUNDS(0, X1, X2, X3)
	ROUNDS(0, X7, X8, X9)
	ROUNDS(1, X1, X2, X4)
	SHA256MSG1 X4, X3
	ROUNDS(1, X7, X8, X10)
	SHA256MSG1 X10, X9
	ROUNDS(2, X1, X2, X5)
	SHA256MSG1 X5, X4
	ROUNDS(2, X7, X8, X11)
	SHA256MSG1 X11, X10
	ROUNDS(3, X1, X2, X6)
	NEXT(X5, X6, X3)
	SHA256MSG1 X6, X5
	ROUNDS(3, X7, X8, X12)
	NEXT(X11, X12, X9)
	SHA256MSG1 X12, X11
	ROUNDS(4, X1, X2, X3)
	NEXT(X6, X3, X4)
	SHA256MSG1 X3, X6
	ROUNDS(4, X7, X8, X9)
	NEXT(X12, X9, X10)
	SHA256MSG1 X9, X12
	ROUNDS(5, X1, X2, X4)
	NEXT(X3, X4, X5)
	SHA256MSG1 X4, X3
	ROUNDS(5, X7, X8, X10)
	NEXT(X9, X10, X11)
	SHA256MSG1 X10, X9
	ROUNDS(6, X1, X2, X5)
	NEXT(X4, X5, X6)
	SHA256MSG1 X5, X4
	ROUNDS(6, X7, X8, X11)
	NEXT(X10, X11, X12)
	SHA256MSG1 X11, X10
	ROUNDS(7, X1, X2, X6)
	NEXT(X5, X6, X3)
	SHA256MSG1 X6, X5
	ROUNDS(7, X7, X8, X12)
	NEXT(X11, X12, X9)
	SHA256MSG1 X12, X11
	ROUNDS(8, X1, X2, X3)
	NEXT(X6, X3, X4)
	SHA256MSG1 X3, X6
	ROUNDS(8, X7, X8, X9)
	NEXT(X12, X9, X10)
	SHA256MSG1 X9, X12
	ROUNDS(9, X1, X2, X4)
	NEXT(X3, X4, X5)
	SHA256MSG1 X4, X3
	ROUNDS(9, X7, X8, X10)
	NEXT(X9, X10, X11)
	SHA256MSG1 X10, X9
	ROUNDS(10, X1, X2, X5)
	NEXT(X4, X5, X6)
	SHA256MSG1 X5, X4
	ROUNDS(10, X7, X8, X11)
	NEXT(X10, X11, X12)
	SHA256MSG1 X11, X10
	ROUNDS(11, X1, X2, X6)
	NEXT(X5, X6, X3)
	SHA256MSG1 X6, X5
	ROUNDS(11, X7, X8, X12)
	NEXT(X11, X12, X9)
	SHA256MSG1 X12, X11
	ROUNDS(12, X1, X2, X3)
	NEXT(X6, X3, X4)
	SHA256MSG1 X3, X6
	ROUNDS(12, X7, X8, X9)
	NEXT(X12, X9, X10)
	SHA256MSG1 X9, X12
	ROUNDS(13, X1, X2, X4)
	NEXT(X3, X4, X5)
	ROUNDS(13, X7, X8, X10)
	NEXT(X9, X10, X11)
	ROUNDS(14, X1, X2, X5)
	NEXT(X4, X5, X6)
	ROUNDS(14, X7, X8, X11)
	NEXT(X10, X11, X12)
	ROUNDS(15, X1, X2, X6)
	ROUNDS(15, X7, X8, X12)
	MOVOU 0(DI), X13
	PADDD X13, X1
	MOVOU 16(DI), X13
	PADDD X13, X2
	MOVOU 32(DI), X13
	PADDD X13, X7
	MOVOU 48(DI), X13
	PADDD X13, X8
	ADDQ $64, SI
	ADDQ $64, DX
	DECQ CX
	JNZ  loop
	MOVOU X1, 0(DI)
	MOVOU X2, 16(DI)
	MOVOU X7, 32(DI)
	MOVOU X8, 48(DI)
	RET

// func hasSHA() bool
TEXT ·hasSHA(SB), NOSPLIT, $0-1
	XORL  AX, AX
	CPUID
	CMPL  AX, $7
	JLT   no
	MOVL  $7, AX
	XORL  CX, CX
	CPUID
	SHRL  $29, BX
	ANDL  $1, BX
	MOVB  BX, ret+0(FP)
	RET

no:
	MOVB $0, ret+0(FP)
	RET

// swap turns four big-endian words into the machine's.
DATA swap<>+0(SB)/8, $0x0405060700010203
DATA swap<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL swap<>(SB), RODATA|NOPTR, $16

// words are SHA-256's constants (FIPS 180-4, 4.2.2).
DATA words<>+0(SB)/8, $0x71374491428a2f98
DATA words<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA words<>+16(SB)/8, $0x59f111f13956c25b
DATA words<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA words<>+32(SB)/8, $0x12835b01d807aa98
DATA words<>+40(SB)/8, $0x550c7dc3243185be
DATA words<>+48(SB)/8, $0x80deb1fe72be5d74
DATA words<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA words<>+64(SB)/8, $0xefbe4786e49b69c1
DATA words<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA words<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA words<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA words<>+96(SB)/8, $0xa831c66d983e5152
DATA words<>+104(SB)/8, $0xbf597fc7b00327c8
DATA words<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA words<>+120(SB)/8, $0x1429296706ca6351
DATA words<>+128(SB)/8, $0x2e1b213827b70a85
DATA words<>+136(SB)/8, $0x53380d134d2c6dfc
DATA words<>+144(SB)/8, $0x766a0abb650a7354
DATA words<>+152(SB)/8, $0x92722c8581c2c92e
DATA words<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA words<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA words<>+176(SB)/8, $0xd6990624d192e819
DATA words<>+184(SB)/8, $0x106aa070f40e3585
DATA words<>+192(SB)/8, $0x1e376c0819a4c116
DATA words<>+200(SB)/8, $0x34b0bcb52748774c
DATA words<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA words<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA words<>+224(SB)/8, $0x78a5636f748f82ee
DATA words<>+232(SB)/8, $0x8cc7020884c87814
DATA words<>+240(SB)/8, $0xa4506ceb90befffa
DATA words<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL words<>(SB), RODATA|NOPTR, $256
