/*
 * nx_torture.h - run a function with its first allocation failing, then its second, and so on until
 * it has met no failure.
 *
 * The unit tests are linked with --wrap for malloc and its family, so that every allocation of our
 * own objects passes here; those inside shared libraries do not.
 */
#ifndef NX_TORTURE_H
#define NX_TORTURE_H

#include "base/err.h"

/*
 * The whole of one use: set up, work, clean up.  It returns NX_OK or NX_E_NOMEM and nothing else,
 * never asserts on the way (that would skip the clean-up), and leaks nothing: LeakSanitizer looks.
 */
typedef nx_rc (*nx_torture_fn)(void *payload);

/*
 * Fails the test unless `fn` ends with NX_E_NOMEM, or with NX_OK where it can do without, for every
 * allocation that fails, and with NX_OK when none does.  Above 64 only some are failed, unless
 * NX_TORTURE=all is in the environment.  Returns how many allocations were failed.
 */
unsigned nx_torture(nx_torture_fn fn, void *payload);

/* For tests that want one failure at one place: the `nth` allocation from now (1: the next), 0 for
 * none.  True when one was failed since the last call. */
bool nx_torture_arm(unsigned nth);

#endif
