/*
 * policy.h - the words of a route table's policy columns: permissions and ledger actions.
 *
 * Layer:   3 (retrieve).
 * Threads: constants only.
 * PHI:     none.
 *
 * Protocols name in their tables what a service will decide and record (enum nx_perm, enum
 * nx_action); they call nothing of what is behind the names.
 */
#ifndef NX_RETRIEVE_POLICY_H
#define NX_RETRIEVE_POLICY_H

#include "access/access.h"
#include "ledger/ledger.h"

#endif
