// SPDX-License-Identifier: Apache-2.0
/*
 * A snapshot, or a guest that was sent while it ran: the input is the stream, read to its end or to the first error, as ebb
 * does; and then as a working set. Each list of memory in it is a snapshot of a chain, too: what of it the guest gets is
 * compared with the naive way. As a file it is read again, as a base is, and merged, or put in order. Its checksums are all taken to be 0, so
 * that the fuzzer gets past them.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/boot.h"
#include "vmm/snapshot/saved_machine.h"
#include "vmm/snapshot/chain.h"
#include "vmm/snapshot/merge.h"
#include "vmm/snapshot/settle.h"
#include "vmm/snapshot/stream.h"
#include "vmm/mem/discard_gate.h"
#include "vmm/snapshot/working_set.h"
#include "vmm/snapshot/written.h"

#define RAM_SIZE (1U << 20)
/* The pages that no section may name: they are beyond the RAM that the reader is told of. */
#define EDGE   4096U
#define LAYERS 3

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

static bool has(const struct snapshot_memory *list, uint64_t gpa)
{
	for (unsigned int i = 0; i < list->runs; i++)
		if (list->run[i].gpa <= gpa && gpa - list->run[i].gpa < list->run[i].len)
			return true;
	return false;
}

static bool is_hidden(const struct snapshot_chain *chain, unsigned int n, uint64_t gpa)
{
	for (unsigned int i = 0; i < n; i++)
		if (has(&chain->layer[i]->memory, gpa) || has(&chain->layer[i]->zeros, gpa))
			return true;
	return false;
}

/* Each page of a run is in one piece, or hidden. */
static void check_run(const struct snapshot_chain *chain, unsigned int n,
		      const struct gpa_range *run)
{
	uint64_t gpa = run->gpa, end = run->gpa + run->len;
	struct gpa_range piece = {0};

	while (snapshot_chain_next(chain, n, run, &piece)) {
		MUST(piece.len && piece.gpa >= gpa && piece.gpa + piece.len <= end);
		for (; gpa < piece.gpa; gpa += SNAPSHOT_PAGE)
			MUST(is_hidden(chain, n, gpa));
		for (; gpa < piece.gpa + piece.len; gpa += SNAPSHOT_PAGE)
			MUST(!is_hidden(chain, n, gpa));
	}
	for (; gpa < end; gpa += SNAPSHOT_PAGE)
		MUST(is_hidden(chain, n, gpa));
}

static void check_chain(const struct snapshot_chain *chain)
{
	for (unsigned int n = 0; n < chain->count; n++)
		for (unsigned int i = 0; i < chain->layer[n]->memory.runs; i++)
			check_run(chain, n, &chain->layer[n]->memory.run[i]);
}

/* Adds a list of memory, and the zeros before it. */
static void add_layer(struct snapshot_chain *chain, const struct snapshot_memory *memory,
		      struct snapshot_memory *zeros)
{
	static struct snapshot_layer layer[LAYERS];

	if (chain->count < LAYERS) {
		layer[chain->count].memory = *memory;
		layer[chain->count].zeros = *zeros;
		chain->layer[chain->count] = &layer[chain->count];
		chain->count++;
	}
	zeros->runs = 0;
}

/* As `ebb clone` does, which no sandbox keeps in. */
static void read_machine(const uint8_t *payload, size_t len)
{
	struct record_in in = {payload, len, false};
	struct saved_machine saved;
	struct why why = {""};

	int error = saved_machine_read(&in, "x86_64", &saved, &why);
	MUST((error == 0) == (why.text[0] == '\0'));
	MUST(error || saved.regions <= RAM_REGIONS_MAX);
	MUST(error || saved.devices <= SAVED_DEVICES_MAX);
}

static int read_sections(struct snapshot_reader *reader, const struct ram *ram,
			 struct snapshot_chain *chain)
{
	static uint8_t payload[SNAPSHOT_PAYLOAD_MAX];
	static struct snapshot_memory memory, zeros;
	struct snapshot_written written = {0};
	struct snapshot_id base;
	struct snapshot_section section;
	uint32_t checksum = 0;

	memory.pages = zeros.runs = 0;
	for (;;) {
		int error = snapshot_next(reader, &section);
		if (error)
			return error;
		MUST(section.type != SNAPSHOT_FILLER);
		if (section.type == SNAPSHOT_END)
			return snapshot_close(reader, &section, memory.pages + written.pages,
					      &checksum);
		if (section.type == SNAPSHOT_MEMORY) {
			error = snapshot_memory_read(reader, &section, ram, &memory, NULL);
			MUST(error || memory.pages * SNAPSHOT_PAGE <= RAM_SIZE);
			if (!error)
				add_layer(chain, &memory, &zeros);
			if (!error)
				error = snapshot_pages_read(reader, &memory, ram, &checksum);
		} else if (section.type == SNAPSHOT_WRITTEN) {
			error = snapshot_written_read(reader, &section, ram, payload, &written);
		} else if (section.type == SNAPSHOT_BASE) {
			error = snapshot_list_read(reader, &section, ram, &base, &zeros);
			MUST(error || zeros.pages * SNAPSHOT_PAGE <= RAM_SIZE);
		} else {
			error = snapshot_payload(reader, &section, payload, sizeof(payload));
			if (!error && section.type == SNAPSHOT_MACHINE)
				read_machine(payload, section.len);
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

/* What is merged is no more than the guest's RAM, and its lists. */
static int count_bytes(void *ctx, const void *data, size_t len)
{
	size_t *written = ctx;

	(void)data;
	*written += len;
	MUST(*written < 4 * RAM_SIZE);
	return 0;
}

/* The way of bases, of ebb snapshot merge, and of what came of a guest that ran: with lists that are checked by the caller's RAM, and by merging alone. */
static void read_as_file(const uint8_t *data, size_t size, const struct ram *ram)
{
	static int file = -1;
	struct gpa_range region[2];
	size_t written = 0;
	struct snapshot_writer writer = {.write = count_bytes, .ctx = &written};

	if (file < 0)
		file = memfd_create("input", MFD_CLOEXEC);
	MUST(file >= 0 && ftruncate(file, 0) == 0);
	MUST(pwrite(file, data, size, 0) == (ssize_t)size);
	for (unsigned int i = 0; i < 2; i++)
		region[i] = (struct gpa_range){ram->region[i].gpa, ram->region[i].size};
	for (unsigned int merge = 0; merge < 2; merge++) {
		struct snapshot_chain chain = {0};
		MUST(lseek(file, 0, SEEK_SET) == 0);
		int error = snapshot_chain_add(&chain, dup(file), merge ? NULL : ram);
		if (!error && merge)
			error = snapshot_merge(&chain, region, 2, &writer);
		else if (!error)
			error = snapshot_chain_read(&chain, 0, ram);
		MUST((error == 0) == (chain.why[0] == '\0'));
		snapshot_chain_release(&chain);
	}
	struct snapshot_writer settled = {.write = count_bytes, .ctx = &written};
	char why[160];
	written = 0;
	int error = snapshot_settle(file, region, 2, &settled, why, sizeof(why));
	MUST((error == 0) == (why[0] == '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct discard_gate *gate;
	struct ram whole = boot_ram(0, RAM_SIZE + 2 * EDGE);
	uint8_t *memory = whole.region[0].hva;
	struct ram ram = {.region = {{EDGE, RAM_SIZE - EDGE, memory + EDGE},
				     {RAM_SIZE + EDGE, EDGE, memory + RAM_SIZE}},
			  .regions = 2,
			  .page_size = 4096};

	struct snapshot_chain chain = {0};

	if (!gate)
		gate = discard_gate_new();
	ram.gate = gate;
	host_reset();
	memset(memory, 0xee, EDGE);
	memset(memory + RAM_SIZE + EDGE, 0xee, EDGE);
	for (unsigned int way = 0; way < 2; way++) {
		struct input input = {data, size};
		struct snapshot_reader reader = {.read = input_read, .ctx = &input};
		int error = way ? read_working_set(&reader, &ram) : snapshot_open(&reader);
		if (!way && !error)
			error = read_sections(&reader, &ram, &chain);
		MUST((error == 0) == (reader.why[0] == '\0'));
		MUST(reader.offset == size - input.left);
		MUST(error || input.left == 0);
	}
	check_chain(&chain);
	read_as_file(data, size, &ram);
	for (unsigned int i = 0; i < EDGE; i++)
		MUST(memory[i] == 0xee && memory[RAM_SIZE + EDGE + i] == 0xee);
	return 0;
}
