#include "fuzz.h"

#include <assert.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/rd.h"
#include "catalog/catalog.h"

/* Two bytes, verb and table, then the values.  What parses is written and parsed again the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NX_AUTO(nx_arena) *arena = nx_arena_new(1u << 20, 0);
	NX_AUTO_DONE(nx_buf) out;
	struct nx_op op;
	struct nx_op again;
	struct nx_rd rd;
	union {
		int64_t align;
		char b[512];
	} row;

	nx_buf_init(&out, 1u << 20, 0);
	if (!arena || size < 2)
		return 0;
	rd = nx_rd(nx_slice(data + 2, size - 2));
	if (nx_op_parse(&rd, data[0], data[1], arena, &op, NULL)) {
		assert(rd.n == size - 2); /* left in place */
		return 0;
	}
	nx_op_format(&op, &out);
	rd = nx_rd(nx_buf_slice(&out));
	if (nx_op_parse(&rd, data[0], data[1], arena, &again, NULL) || rd.n || again.n != op.n)
		abort();
	for (unsigned i = 0; i < op.n; i++)
		if (again.vals[i].type != op.vals[i].type || again.vals[i].i != op.vals[i].i ||
			!nx_slice_eq(again.vals[i].s, op.vals[i].s))
			abort();
	if (op.verb == NX_OP_PUT && nx_op_row(&op, arena, &row, NULL))
		abort();
	return 0;
}
