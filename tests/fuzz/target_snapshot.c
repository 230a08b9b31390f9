// SPDX-License-Identifier: Apache-2.0
/*
 * A snapshot: the input is the stream, read to its end or to the first error, as ebb does; and then as a working set. Its
 * checksums are all taken to be 0, so that the fuzzer gets past them.
 */
#include <string.h>

#include "tests/fuzz/boot.h"
#include "vmm/snapshot/pages.h"
#include "vmm/snapshot/stream.h"
#include "vmm/snapshot/working_set.h"

#define RAM_SIZE (1U << 20)
/* The pages that no section may name: they are beyond the RAM that the reader is told of. */
#define EDGE 4096U

struct input {
	const uint8_t *data;
	size_t left;
};

/* In place of vmm/snapshot/checksum.c. */
uint32_t snapshot_checksum(uint32_t before, const void *data, size_t len)
{
	(void)before, (void)data, (void)len;
	return 0;
}

static int input_read(void *ctx, void *data, size_t len)
{
	struct input *input = ctx;

	if (len > input->left)
		len = input->left;
	memcpy(data, input->data, len);
	input->data += len;
	input->left -= len;
	return (int)len;
}

static int read_sections(struct snapshot_reader *reader, const struct ram *ram)
{
	static uint8_t payload[SNAPSHOT_PAYLOAD_MAX];
	static struct snapshot_memory memory;
	struct snapshot_section section;
	uint32_t checksum = 0;

	memory.pages = 0;
	for (;;) {
		int error = snapshot_next(reader, &section);
		if (error)
			return error;
		MUST(section.type != SNAPSHOT_FILLER);
		if (section.type == SNAPSHOT_END)
			return snapshot_close(reader, &section, memory.pages, &checksum);
		if (section.type == SNAPSHOT_MEMORY) {
			error = snapshot_memory_read(reader, &section, ram, &memory);
			MUST(error || memory.pages * SNAPSHOT_PAGE <= RAM_SIZE);
			if (!error)
				error = snapshot_pages_read(reader, &memory, ram, &checksum);
		} else {
			error = snapshot_payload(reader, &section, payload, sizeof(payload));
		}
		if (error)
			return error;
	}
}

/* What is read ahead is in RAM, and ascends. */
static int read_working_set(struct snapshot_reader *reader, const struct ram *ram)
{
	static const struct snapshot_id id;
	static struct snapshot_memory memory;
	uint64_t least = 0, pages = 0;

	int error = snapshot_working_set_read(reader, &id, ram, &memory);
	for (unsigned int i = 0; i < memory.runs && !error; i++) {
		const struct gpa_range *run = &memory.run[i];
		MUST(run->gpa >= least && ram_at(ram, run->gpa, run->len));
		least = run->gpa + run->len;
		pages += run->len / SNAPSHOT_PAGE;
	}
	MUST(error || pages == memory.pages);
	return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ram whole = boot_ram(0, RAM_SIZE + 2 * EDGE);
	uint8_t *memory = whole.region[0].hva;
	struct ram ram = {.region = {{EDGE, RAM_SIZE - EDGE, memory + EDGE},
				     {RAM_SIZE + EDGE, EDGE, memory + RAM_SIZE}},
			  .regions = 2,
			  .page_size = 4096};

	host_reset();
	memset(memory, 0xee, EDGE);
	memset(memory + RAM_SIZE + EDGE, 0xee, EDGE);
	for (unsigned int way = 0; way < 2; way++) {
		struct input input = {data, size};
		struct snapshot_reader reader = {.read = input_read, .ctx = &input};
		int error = way ? read_working_set(&reader, &ram) : snapshot_open(&reader);
		if (!way && !error)
			error = read_sections(&reader, &ram);
		MUST((error == 0) == (reader.why[0] == '\0'));
		MUST(reader.offset == size - input.left);
		MUST(error || input.left == 0);
	}
	for (unsigned int i = 0; i < EDGE; i++)
		MUST(memory[i] == 0xee && memory[RAM_SIZE + EDGE + i] == 0xee);
	return 0;
}
