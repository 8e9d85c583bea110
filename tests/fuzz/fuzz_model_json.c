/* The DICOM JSON Model to data sets. */
#include "fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return model_fuzz(nx_model_json_new, nx_slice(data, size));
}
