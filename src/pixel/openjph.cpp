/*
 * openjph.cpp - OpenJPH behind one function for C.  Nothing else of the project is C++, and no
 * exception leaves this file.
 */
#include "pixel/openjph.h"

#include <openjph/ojph_arch.h>
#include <openjph/ojph_codestream.h>
#include <openjph/ojph_file.h>
#include <openjph/ojph_mem.h>
#include <openjph/ojph_message.h>
#include <openjph/ojph_params.h>

#include <stdexcept>

namespace {

/* The library prints what is wrong before it throws; nobody is to read that. */
class Failure : public ojph::message_error
{
      public:
	void operator()(int, const char *, int, const char *, ...) override
	{
		throw std::runtime_error("openjph");
	}
};

class Sink : public ojph::outfile_base
{
      public:
	explicit Sink(const nx_openjph_image *image) : image_(image)
	{
	}

	size_t write(const void *p, size_t n) override
	{
		if (!image_->put(image_->payload, p, n))
			throw std::runtime_error("sink");
		at_ += static_cast<ojph::si64>(n);
		return n;
	}

	ojph::si64 tell() override
	{
		return at_;
	}

      private:
	const nx_openjph_image *image_;
	ojph::si64 at_ = 0;
};

void describe(ojph::codestream &stream, const nx_openjph_image *image)
{
	ojph::param_siz size = stream.access_siz();
	ojph::param_cod coding = stream.access_cod();

	size.set_image_extent(ojph::point(image->columns, image->rows));
	size.set_num_components(image->components);
	for (uint32_t c = 0; c < image->components; c++)
		size.set_component(c, ojph::point(1, 1), image->bits, image->is_signed != 0);
	coding.set_num_decomposition(image->levels);
	coding.set_block_dims(64, 64);
	coding.set_progression_order("RPCL");
	coding.set_color_transform(image->color != 0);
	coding.set_reversible(true);
	stream.set_planar(false);
}

void encode(const nx_openjph_image *image)
{
	ojph::codestream stream;
	Sink sink(image);
	ojph::ui32 component = 0;

	describe(stream, image);
	stream.write_headers(&sink);
	ojph::line_buf *line = stream.exchange(nullptr, component);
	for (uint32_t y = 0; y < image->rows; y++)
		for (uint32_t c = 0; c < image->components; c++) {
			image->row(image->payload, y, component, line->i32);
			line = stream.exchange(line, component);
		}
	stream.flush();
	stream.close();
}

} // namespace

int nx_openjph_encode(const struct nx_openjph_image *image)
{
	static Failure failure;

	try {
		ojph::configure_error(&failure);
		encode(image);
		return 1;
	} catch (...) {
		return 0;
	}
}
