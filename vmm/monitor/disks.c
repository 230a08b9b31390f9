// SPDX-License-Identifier: Apache-2.0
/* Disks: QEMU's query-block and query-blockstats. */
#include <stdio.h>

#include "vmm/lib/json.h"
#include "vmm/machine/device_blk.h"
#include "vmm/monitor/part.h"

struct disks {
	uint64_t allocated[VM_DISKS_MAX]; /* bytes that each disk takes on the host */
};

/* Runs on the worker: fstat() waits for storage that hangs. */
static void disks_measure(struct monitor *monitor)
{
	struct disks *disks = monitor_state(monitor, &monitor_disks);
	const struct disk *disk;
	for (unsigned int i = 0; (disk = machine_disk(monitor->machine, i)); i++)
		disks->allocated[i] = disk_allocated(disk);
}

static json_t *allocated(const struct monitor *monitor, const struct disk *disk)
{
	const struct disks *disks = monitor_state(monitor, &monitor_disks);
	return json_count(disks->allocated[disk->device.number]);
}

static void qdev_of(const struct disk *disk, char *path, size_t size)
{
	snprintf(path, size, "/machine/peripheral/%s/virtio-backend", disk->id);
}

static json_t *block_object(const struct monitor *monitor, const struct disk *disk)
{
	char qdev[64];
	qdev_of(disk, qdev, sizeof(qdev));

	json_t *image =
		json_pack("{s:o, s:s, s:o, s:o, s:b}", "filename", json_text(disk->file), "format",
			  disk->format, "virtual-size", json_count(disk_size(disk)), "actual-size",
			  allocated(monitor, disk), "dirty-flag", 0);
	json_t *cache =
		json_pack("{s:b, s:b, s:b}", "writeback", 1, "direct", disk->direct, "no-flush", 0);
	json_t *inserted = json_pack(
		"{s:o, s:s, s:b, s:b, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:o}",
		"file", json_text(disk->file), "drv", disk->format, "ro", disk_read_only(disk),
		"encrypted", 0, "detect_zeroes", "off", "bps", 0, "bps_rd", 0, "bps_wr", 0, "iops",
		0, "iops_rd", 0, "iops_wr", 0, "write_threshold", 0, "backing_file_depth",
		disk->backing_files, "cache", cache, "image", image);
	return json_pack("{s:s, s:s, s:s, s:b, s:b, s:s, s:o}", "device", disk->id, "qdev", qdev,
			 "type", "unknown", "removable", 0, "locked", 0, "io-status", "ok",
			 "inserted", inserted);
}

static void answer_query_block(struct monitor *monitor, uint64_t command)
{
	json_t *list = json_array();
	const struct disk *disk;
	for (unsigned int i = 0; (disk = machine_disk(monitor->machine, i)); i++)
		json_array_append_new(list, block_object(monitor, disk));
	monitor_answer(monitor, command, list);
}

static json_t *query_block(void *ctx, const json_t *arguments, struct control_error *error)
{
	(void)arguments;
	return monitor_answer_measured(ctx, answer_query_block, error);
}

static json_t *stats_object(const struct disk *disk)
{
	/* The prefix of each kind's figures in QEMU's names. */
	static const char *const kinds[BLK_COUNTED] = {[BLK_READ] = "rd",
						       [BLK_WRITE] = "wr",
						       [BLK_FLUSH] = "flush",
						       [BLK_DISCARD] = "unmap"};
	json_t *stats = json_object();

	for (unsigned int kind = 0; kind < BLK_COUNTED; kind++) {
		const struct blk_counters *counters = &disk_counters(disk)[kind];
		char name[64];
		if (!kinds[kind])
			continue; /* QEMU has no figures of write-zeroes, but x-ebb-stat has */
#define SET(format, counter)                                                                       \
	snprintf(name, sizeof(name), format, kinds[kind]);                                         \
	json_object_set_new(stats, name, json_count(counters->counter))
		if (kind != BLK_FLUSH) {
			SET("%s_bytes", bytes);
			SET("invalid_%s_operations", refused);
		}
		SET("%s_operations", operations);
		SET("failed_%s_operations", failed);
		SET("%s_total_time_ns", ns);
#undef SET
	}
	json_object_set_new(stats, "account_invalid", json_true());
	json_object_set_new(stats, "account_failed", json_true());
	return stats;
}

static json_t *query_blockstats(void *ctx, const json_t *arguments, struct control_error *error)
{
	const struct monitor *monitor = ctx;
	json_t *list = json_array();
	const struct disk *disk;
	(void)arguments, (void)error;

	for (unsigned int i = 0; (disk = machine_disk(monitor->machine, i)); i++) {
		char qdev[64];
		qdev_of(disk, qdev, sizeof(qdev));
		json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "device", disk->id, "qdev",
						      qdev, "stats", stats_object(disk)));
	}
	return list;
}

static unsigned long long failures(const struct disk *disk, bool refused)
{
	unsigned long long sum = refused ? disk_unknown(disk) : 0;
	for (unsigned int kind = 0; kind < BLK_COUNTED; kind++)
		sum += refused ? disk_counters(disk)[kind].refused
			       : disk_counters(disk)[kind].failed;
	return sum;
}

static json_t *figures_object(const struct monitor *monitor, const struct disk *disk)
{
	const struct blk_counters *c = disk_counters(disk);
	return json_pack(
		"{s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:o, s:o, s:o, s:o}",
		"disk", disk->id, "file", json_text(disk->file), "size",
		json_count(disk_size(disk)), "allocated", allocated(monitor, disk), "read-only",
		disk_read_only(disk), "reads", json_count(c[BLK_READ].operations), "read-bytes",
		json_count(c[BLK_READ].bytes), "writes", json_count(c[BLK_WRITE].operations),
		"written-bytes", json_count(c[BLK_WRITE].bytes), "flushes",
		json_count(c[BLK_FLUSH].operations), "discards",
		json_count(c[BLK_DISCARD].operations), "discarded-bytes",
		json_count(c[BLK_DISCARD].bytes), "ignored-bytes", json_count(disk->blk.ignored),
		"zeroings", json_count(c[BLK_ZERO].operations), "zeroed-bytes",
		json_count(c[BLK_ZERO].bytes), "errors", json_count(failures(disk, false)),
		"refused", json_count(failures(disk, true)));
}

static void disks_figures(struct monitor *monitor, json_t *stat)
{
	json_t *list = json_array();
	const struct disk *disk;
	for (unsigned int i = 0; (disk = machine_disk(monitor->machine, i)); i++)
		json_array_append_new(list, figures_object(monitor, disk));
	json_object_set_new(stat, "disks", list);
}

static const struct control_command commands[] = {
	{"query-block", CONTROL_READS, query_block},
	{"query-blockstats", CONTROL_READS, query_blockstats},
	{},
};

const struct monitor_part monitor_disks = {
	.name = "disks",
	.commands = commands,
	.state_size = sizeof(struct disks),
	.measure = disks_measure,
	.figures = disks_figures,
};
