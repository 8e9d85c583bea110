/*
 * mem_io.h - an association's transport in memory: what the peer sends is there beforehand, what we
 * send is kept.
 *
 * Layer:   tests.
 * Threads: one thread at a time.
 */
#ifndef NX_TEST_MEM_IO_H
#define NX_TEST_MEM_IO_H

#include "base/buf.h"
#include "dimse/command_priv.h"
#include "dimse/io_priv.h"
#include "dimse/pdu_priv.h"

struct mem_io {
	struct nx_slice in;
	size_t chunk;                 /* bytes per read; 0: all */
	size_t later;                 /* bytes at the end of the script that come at ... */
	struct nx_buf replies;        /* come before what is later */
	size_t replied;               /* of them, taken */
	void (*wrote)(void *payload); /* optional: after each write */
	void *payload;
	size_t last;          /* of these, bytes that come when waited for only */
	unsigned later_polls; /* ... this many looks, or when waited for */
	nx_rc end;            /* after the last byte: NX_E_CLOSED or NX_E_TIMEOUT */
	size_t drain_before;  /* the listener drains once fewer bytes than this are left */
	bool drains;
	bool settled;         /* the association said that it knows its peer */
	unsigned writes_good; /* writes before one fails; 0: all good */
	unsigned writes;
	struct nx_buf out;
};

void mem_io_init(struct mem_io *mem, struct nx_slice in);
void mem_io_done(struct mem_io *mem);
struct nx_dimse_io mem_io(struct mem_io *mem);

/* What we sent, PDU by PDU; false at the end.  Asserts that the PDUs are well formed. */
struct mem_reader {
	struct nx_slice rest;
};
bool mem_pdu_next(struct mem_reader *reader, struct nx_pdu_header *ret, struct nx_slice *ret_body);

#endif
