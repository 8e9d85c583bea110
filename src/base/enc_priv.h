/*
 * enc_priv.h - the portable CRC-32C, which most machines never run: for its test.
 *
 * Layer:   0 (base).
 * Threads: safe.
 */
#ifndef NX_BASE_ENC_PRIV_H
#define NX_BASE_ENC_PRIV_H

#include <stddef.h>
#include <stdint.h>

/* On the inverted remainder, as the instruction works; eight bytes at a time on little endian. */
uint32_t nx_crc32c_soft(uint32_t crc, const uint8_t *b, size_t n);

#endif
