/*
 * enc.h - hexadecimal and base64 (RFC 4648 section 4), and CRC-32C (RFC 3720 B.4).
 *
 * Layer:   0 (base).
 * Threads: safe.
 */
#ifndef NX_BASE_ENC_H
#define NX_BASE_ENC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `ret` gets 2 * n lower-case digits and a NUL. */
void nx_hex_format(const void *p, size_t n, char *ret);
/* The value of one digit; -1 where it is none. */
int nx_hex_digit(char c);
/* Exactly `n` bytes from the 2 * n digits at `s`, which must end there. */
bool nx_hex_parse(const char *s, void *ret, size_t n);

#define NX_BASE64_LEN(n) (((n) + 2) / 3 * 4) /* without the NUL */
void nx_base64_format(const void *p, size_t n, char *ret);
/* Strict: padded, no white space.  At most `cap` bytes; *ret_n gets their number. */
bool nx_base64_parse(const char *s, size_t n, void *ret, size_t cap, size_t *ret_n);

/* Continue `crc` (0 at the start) over `n` bytes. */
uint32_t nx_crc32c(uint32_t crc, const void *p, size_t n);

/* Length of the UTF-8 sequence at `s` (RFC 3629), of `n` bytes at most; 0 if it is none. */
size_t nx_utf8_len(const uint8_t *s, size_t n);
bool nx_utf8_valid(const char *s, size_t n);

#endif
