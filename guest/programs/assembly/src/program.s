# program: reads INPUT, writes six doublewords to OUTPUT, returns. Uses every instruction of RV64I and M that this machine has
# but EBREAK.
#
#   0  number of input bytes
#   1  sum of the bytes
#   2  CRC-32 of the bytes (reflected polynomial 0xEDB88320)
#   3  greatest common divisor of (sum + 1) and (CRC + 1)
#   4  a checksum that passes every doubleword of the input through all arithmetic instructions
#   5  median byte: the smallest b such that at least half of the bytes are <= b (0 for no bytes)
#
# src/main.rs has the same in Rust.

    .text
    .globl program
program:
    addi sp, sp, -64
    sd   ra, 0(sp)
    sd   s0, 8(sp)
    sd   s1, 16(sp)
    sd   s2, 24(sp)
    sd   s3, 32(sp)
    sd   s4, 40(sp)
    lui  s0, 0x10000            # INPUT
    ld   s1, 0(s0)              # length
    addi s0, s0, 8              # first byte
    lui  s2, 0x20000            # OUTPUT
    li   t0, 48
    sd   t0, 0(s2)
    addi s2, s2, 8
    sd   s1, 0(s2)
    fence

# -- sum ----------------------------------------------------------------------------------------------------------
    li   s3, 0
    mv   t0, s0
    add  t1, s0, s1
1:  bgeu t0, t1, 2f
    lbu  t2, 0(t0)
    add  s3, s3, t2
    addi t0, t0, 1
    j    1b
2:  sd   s3, 8(s2)

# -- CRC-32, one bit at a time, reached through a register -----------------------------------------------------------
    la   t0, crc32
    mv   a0, s0
    mv   a1, s1
    jalr ra, 0(t0)
    mv   s4, a0
    sd   a0, 16(s2)

# -- gcd, Euclid -----------------------------------------------------------------------------------------------------
    addi t0, s3, 1
    addi t1, s4, 1
3:  beqz t1, 4f
    remu t2, t0, t1
    mv   t0, t1
    mv   t1, t2
    j    3b
4:  sd   t0, 24(s2)

# -- checksum: x is the running value, y each doubleword (bytes past the end are 0) ------------------------------------
    lui  a0, 0x9e378            # x
    srli t3, s1, 3
    addi t3, t3, 1              # doublewords, the last partly or wholly past the end
    mv   t4, s0
5:  ld   a1, 0(t4)
    call mix
    addi t4, t4, 8
    addi t3, t3, -1
    bnez t3, 5b
    sd   a0, 32(s2)

# -- median: a histogram of words in RAM, built by halfword, word and byte accesses -------------------------------------
    la   t0, histogram
    mv   t1, s0
    add  t2, s0, s1
6:  beq  t1, t2, 7f
    lbu  t3, 0(t1)
    slli t3, t3, 3
    add  t3, t3, t0
    ld   t4, 0(t3)
    addi t4, t4, 1
    sd   t4, 0(t3)
    addi t1, t1, 1
    j    6b
7:  addi t1, s1, 1
    srli t1, t1, 1              # half of the bytes, rounded up
    li   t2, 0                  # seen
    li   t3, -1                 # byte
8:  addi t3, t3, 1
    ld   t4, 0(t0)
    add  t2, t2, t4
    addi t0, t0, 8
    bltu t2, t1, 8b
    sd   t3, 40(s2)

    ld   ra, 0(sp)
    ld   s0, 8(sp)
    ld   s1, 16(sp)
    ld   s2, 24(sp)
    ld   s3, 32(sp)
    ld   s4, 40(sp)
    addi sp, sp, 64
    ret

# crc32(a0 = bytes, a1 = count) -> a0
crc32:
    add  a1, a0, a1
    li   t0, -1
    srli t0, t0, 32             # register: 32 ones
    lui  t1, 0xEDB88
    addi t1, t1, 0x320
    slli t1, t1, 32
    srli t1, t1, 32
1:  beq  a0, a1, 4f
    lbu  t2, 0(a0)
    xor  t0, t0, t2
    li   t3, 8
2:  andi t2, t0, 1
    srli t0, t0, 1
    neg  t2, t2
    and  t2, t2, t1
    xor  t0, t0, t2
    addi t3, t3, -1
    bgtz t3, 2b
    addi a0, a0, 1
    j    1b
4:  not  a0, t0
    slli a0, a0, 32
    srli a0, a0, 32
    ret

# mix(a0 = x, a1 = y) -> a0; changes a2..a5. Each step folds one instruction's result into x by x = x * 2^5 + x + result.
    .macro fold instruction:vararg
    \instruction
    slli a3, a0, 5
    add  a0, a0, a3
    add  a0, a0, a2
    .endm
mix:
    fold add   a2, a0, a1
    fold sub   a2, a0, a1
    fold xor   a2, a0, a1
    fold or    a2, a0, a1
    fold and   a2, a0, a1
    fold sll   a2, a0, a1
    fold srl   a2, a0, a1
    fold sra   a2, a0, a1
    fold slt   a2, a0, a1
    fold sltu  a2, a0, a1
    fold addw  a2, a0, a1
    fold subw  a2, a0, a1
    fold sllw  a2, a0, a1
    fold srlw  a2, a0, a1
    fold sraw  a2, a0, a1
    fold mul   a2, a0, a1
    fold mulh  a2, a0, a1
    fold mulhsu a2, a0, a1
    fold mulhu a2, a0, a1
    fold div   a2, a0, a1
    fold divu  a2, a0, a1
    fold rem   a2, a0, a1
    fold remu  a2, a0, a1
    fold mulw  a2, a0, a1
    fold divw  a2, a0, a1
    fold divuw a2, a0, a1
    fold remw  a2, a0, a1
    fold remuw a2, a0, a1
    fold addi  a2, a0, -1234
    fold xori  a2, a0, -1
    fold ori   a2, a0, 0x555
    fold andi  a2, a0, -256
    fold slli  a2, a0, 41
    fold srli  a2, a0, 7
    fold srai  a2, a0, 9
    fold slti  a2, a0, 77
    fold sltiu a2, a0, -5
    fold addiw a2, a0, 2047
    fold slliw a2, a0, 13
    fold srliw a2, a0, 3
    fold sraiw a2, a0, 6
    fold lui   a2, 0x80000
# Through memory: y at an odd address, and back by every width and sign.
    la   a4, scratch
    sd   a1, 1(a4)
    sw   a0, 9(a4)
    sh   a0, 13(a4)
    sb   a0, 15(a4)
    fold lb    a2, 4(a4)
    fold lbu   a2, 15(a4)
    fold lh    a2, 5(a4)
    fold lhu   a2, 7(a4)
    fold lw    a2, 9(a4)
    fold lwu   a2, 6(a4)
    fold ld    a2, 5(a4)
# And by branches: one bit each.
    li   a2, 0
    beq  a0, a1, 1f
    addi a2, a2, 1
1:  bne  a0, a1, 2f
    addi a2, a2, 2
2:  blt  a0, a1, 3f
    addi a2, a2, 4
3:  bge  a0, a1, 4f
    addi a2, a2, 8
4:  bltu a0, a1, 5f
    addi a2, a2, 16
5:  bgeu a0, a1, 6f
    addi a2, a2, 32
6:  add  a0, a0, a2
    auipc a5, 0                 # this address, and a jump over the next word
    jalr zero, 12(a5)
    li   a0, 0
    ret

    .bss
    .balign 8
histogram:
    .zero 2048
scratch:
    .zero 16
