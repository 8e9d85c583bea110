/*
 * file.h - whole reads and writes, directories, and replacing a file atomically.
 *
 * Layer:   0 (base).
 * Threads: safe; one thread at a time replaces a given name.
 */
#ifndef NX_BASE_FILE_H
#define NX_BASE_FILE_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct nx_buf;

/* Exactly `n` bytes at `off`; the end of the file before that is NX_E_SHORT. */
NX_NODISCARD nx_rc nx_pread_full(int fd, void *p, size_t n, uint64_t off, struct nx_err *err);
NX_NODISCARD nx_rc nx_pwrite_full(
	int fd, const void *p, size_t n, uint64_t off, struct nx_err *err);

/* Whole file, at most buf->max bytes. */
NX_NODISCARD nx_rc nx_file_read(
	int dir_fd, const char *name, struct nx_buf *ret_buf, struct nx_err *err);

/* Write a temporary file, sync it, rename it over `name`, sync the directory.  The mode is `mode`,
 * whatever the umask. */
NX_NODISCARD nx_rc nx_file_replace(
	int dir_fd, const char *name, struct nx_slice data, unsigned mode, struct nx_err *err);

/* The same for a path. */
NX_NODISCARD nx_rc nx_file_replace_path(
	const char *path, struct nx_slice data, unsigned mode, struct nx_err *err);

/* Hold the folder while *ret_fd is open: NX_E_BUSY where another has it, in this process or
 * another, here or on another machine that the folder is shared with.  Its file "lock" stays when
 * it is let go of, as removing it would let two in. */
NX_NODISCARD nx_rc nx_dir_hold(int dir_fd, int *ret_fd, struct nx_err *err);

/* Like mkdir -p, mode 0700; existing directories are left as they are. */
NX_NODISCARD nx_rc nx_mkdirs(const char *path, struct nx_err *err);

#endif
