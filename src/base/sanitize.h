/*
 * sanitize.h - which sanitizer this is compiled with: gcc and clang say it in different ways.
 *
 * Layer:   0 (base).
 * Threads: macros only.
 */
#ifndef NX_BASE_SANITIZE_H
#define NX_BASE_SANITIZE_H

#if defined(__SANITIZE_ADDRESS__)
#define NX_WITH_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define NX_WITH_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NX_WITH_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define NX_WITH_TSAN 1
#endif
#endif

#ifndef NX_WITH_ASAN
#define NX_WITH_ASAN 0
#endif
#ifndef NX_WITH_TSAN
#define NX_WITH_TSAN 0
#endif

#endif
