/*
 * vfs_pass.h - an SQLite VFS over another one that passes everything through.  Who puts a layer
 * between (vfs_crypt.c, the power cuts of tests) replaces the methods that it is about.
 *
 * Layer:   2 (catalog), private.
 * Threads: as SQLite has it: a file belongs to one connection.
 * PHI:     what SQLite writes.
 */
#ifndef NX_CATALOG_VFS_PASS_H
#define NX_CATALOG_VFS_PASS_H

#include <sqlite3.h>
#include <stddef.h>

struct pass_vfs {
	sqlite3_vfs base; /* first: SQLite hands it back */
	sqlite3_vfs *under;
};

/* The file below follows the layer's own struct, in the same memory. */
struct pass_file {
	sqlite3_file base; /* first: SQLite hands it back */
	sqlite3_file *under;
};

/* Version 2: no xFetch, so that SQLite maps nothing past the layer. */
extern const sqlite3_io_methods nx_cat_pass_methods;

/* All methods but xOpen, which calls nx_cat_pass_open(); `file_len` is of the layer's own struct.
 */
void nx_cat_pass_init(struct pass_vfs *vfs, sqlite3_vfs *under, const char *name, size_t file_len);
/* The layer's struct is zeroed before; the methods are set as soon as there is something to close.
 */
int nx_cat_pass_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, size_t file_len,
	const sqlite3_io_methods *methods, int flags, int *ret_flags);

#endif
