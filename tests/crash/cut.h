/*
 * cut.h - a machine whose power can be cut: what every file write since its last sync replaced, and
 * a fuse that blows at the Nth write, sync or change of a directory.
 *
 * Layer:   tests.
 * Threads: any; one lock inside.
 *
 * What is modelled.  Key store and ledger: the program is linked with --wrap for the system calls
 * that change files, so that they pass here.  Catalog: vfs_cut.c, an SQLite VFS under the
 * encrypting one.  Packs: the `fault` pool of the store, which the harness arms when the fuse
 * blows. At the cut every 512-byte block of a file keeps, by the dice of the seed, what is newest,
 * what was synced, or something between; the length goes with that; of the changes of directories
 * that no sync of the directory has covered, the last few are undone (in order, as a journalling
 * file system has them).  What is not modelled: a disk that lies about syncs, and blocks damaged
 * outside of what was being written.
 */
#ifndef NX_CRASH_CUT_H
#define NX_CRASH_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begin to keep what is replaced; the fuse blows at the `fuse`-th step (0: never), and `on_dead` is
 * then called once, with no lock held. */
void cut_begin(uint64_t fuse, void (*on_dead)(void *payload), void *payload);
/* A step of something outside (a pool call): false when there is no power any more. */
bool cut_step(void);
bool cut_dead(void);
/* Blow the fuse now. */
void cut_now(void);
uint64_t cut_steps(void);
/* With `on`, syncs of files say yes and do nothing. */
void cut_nosync(bool on);
/* With everything closed: lose what the seed says, and forget.  The power is on again. */
void cut_power(uint64_t seed);
/* The same without a loss: only the process ended.  What was not synced stays unsynced. */
void cut_killed(void);
/* Forget everything and stop keeping. */
void cut_end(void);

/* For vfs_cut.c: bytes [off, off + n) of the file open as `fd` are about to be replaced; the answer
 * is false without power. */
bool cut_before_write(int fd, uint64_t off, size_t n);
bool cut_before_truncate(int fd, uint64_t size);
bool cut_before_sync(int fd);
void cut_synced(int fd);
void cut_forget_path(const char *path);

/* Registers the SQLite VFS and returns its name. */
const char *cut_vfs(void);
/* Without a fuse: the `nth` write or sync of the catalog's files from now fails with this SQLite
 * code, and when `forever` every later one; 0 disarms. */
void cut_vfs_fail(uint64_t nth, bool forever, int sqlite_rc);

#endif
