// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/fdt/reader.h"

#include <errno.h>
#include <string.h>

#include "vmm/lib/log.h"

#define GZIP_ONLY (16 + MAX_WBITS) /* zlib.h, inflateInit2() */
#define CHUNK	  (1U << 30)	   /* zlib's counters have 32 bits */

int reader_open(struct reader *reader, const struct boot_file *source)
{
	uint8_t magic[2] = {0};

	memset(reader, 0, sizeof(*reader));
	reader->source = source;
	if (source->size < sizeof(magic))
		return 0;
	int error = boot_file_read(source, 0, magic, sizeof(magic));
	if (error || magic[0] != 0x1f || magic[1] != 0x8b)
		return error;
	if (inflateInit2(&reader->stream, GZIP_ONLY) != Z_OK) {
		log_error("cannot unpack the %s '%s': the host has no memory left", source->what,
			  source->name);
		return -ENOMEM;
	}
	reader->gzip = true;
	return 0;
}

void reader_close(struct reader *reader)
{
	if (reader->gzip)
		inflateEnd(&reader->stream);
	reader->gzip = false;
}

static ssize_t read_plain(struct reader *reader, void *to, uint64_t size)
{
	uint64_t left = reader->source->size - reader->at;
	if (size > left)
		size = left;
	int error = boot_file_read(reader->source, reader->at, to, size);
	if (error)
		return error;
	reader->at += size;
	return (ssize_t)size;
}

static int bad(const struct reader *reader, const char *what)
{
	log_error("cannot unpack the %s '%s': its gzip data %s", reader->source->what,
		  reader->source->name, what);
	return -EINVAL;
}

/* Reads more packed data once all of the last has been used. */
static int refill(struct reader *reader)
{
	uint64_t left = reader->source->size - reader->at;
	uint64_t size = left < sizeof(reader->packed) ? left : sizeof(reader->packed);

	if (reader->stream.avail_in > 0)
		return 0;
	if (size == 0)
		return bad(reader, "ends too early");
	int error = boot_file_read(reader->source, reader->at, reader->packed, size);
	if (error)
		return error;
	reader->at += size;
	reader->stream.next_in = reader->packed;
	reader->stream.avail_in = (uInt)size;
	return 0;
}

ssize_t reader_read(struct reader *reader, void *to, uint64_t size)
{
	uint64_t done = 0;

	if (!reader->gzip)
		return read_plain(reader, to, size);
	while (done < size && !reader->ended) {
		int error = refill(reader);
		if (error)
			return error;
		uInt room = size - done < CHUNK ? (uInt)(size - done) : CHUNK;
		reader->stream.next_out = (uint8_t *)to + done;
		reader->stream.avail_out = room;
		int result = inflate(&reader->stream, Z_NO_FLUSH);
		done += room - reader->stream.avail_out;
		reader->ended = result == Z_STREAM_END;
		/* Z_BUF_ERROR: all packed data read so far is unpacked, and more must be read. */
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			return bad(reader, "is damaged");
	}
	return (ssize_t)done;
}
