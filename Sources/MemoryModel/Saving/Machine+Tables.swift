// Invariant: every table of a machine is named here once, those that belong to parts of it in the part's
// own list; with `Machine.Fields` they are all of its state.

/// Looks at the tables of a machine, one after the other.
package protocol TableReader {
  /// - Parameter used: Elements behind these were never used, or mean nothing.
  mutating func read<Element>(
    _ name: String, _ table: borrowing Arena<Element>, used: Int) throws
}

/// Changes the tables of a machine, in the order in which they are read.
package protocol TableWriter {
  mutating func write<Element>(_ name: String, _ table: inout Arena<Element>) throws
}

extension Machine {
  package func readTables(_ reader: inout some TableReader) throws {
    try frames.readTables(&reader)
    try reader.read("zones", zoneTable, used: zoneTable.count)
    try reader.read("per-CPU pages", perCPU, used: perCPU.count)
    try reader.read("LRU batches", lruBatches, used: lruBatches.count)
    try reader.read("LRU lists", lruLists, used: lruLists.count)
    try reader.read("folios", folios.frames, used: folios.frames.count)
    try reader.read("large folios", folios.large, used: folios.large.count)
    let tables = pageTables.extent.used
    try reader.read("page tables", pageTables.entries, used: tables * PageTables.entriesPerTable)
    try reader.read("frames of page tables", pageTables.frames, used: tables)
    try reader.read("deposits", pageTables.deposits, used: tables)
    try reader.read(
      "page cache", pageCache.entries, used: pageCache.extent.used * PageCache.chunkPages)
    try reader.read("pages of pins", pinWords.words, used: pinWords.extent.used)
    try swap.readTables(&reader)
    try reader.read("huge pages", hugeFlags, used: hugeFlags.count)
    try cmaBitmap.readTables(&reader)
    try reader.read("zone counters", zoneItems, used: zoneItems.count)
    try reader.read("NUMA counters", numaItems, used: numaItems.count)
    try reader.read("node counters", nodeItems, used: nodeItems.count)
    try reader.read("event counters", events, used: events.count)
    try trace.readTables(&reader)
  }

  package mutating func writeTables(_ writer: inout some TableWriter) throws {
    try frames.writeTables(&writer)
    try writer.write("zones", &zoneTable)
    try writer.write("per-CPU pages", &perCPU)
    try writer.write("LRU batches", &lruBatches)
    try writer.write("LRU lists", &lruLists)
    try writer.write("folios", &folios.frames)
    try writer.write("large folios", &folios.large)
    try writer.write("page tables", &pageTables.entries)
    try writer.write("frames of page tables", &pageTables.frames)
    try writer.write("deposits", &pageTables.deposits)
    try writer.write("page cache", &pageCache.entries)
    try writer.write("pages of pins", &pinWords.words)
    try swap.writeTables(&writer)
    try writer.write("huge pages", &hugeFlags)
    try cmaBitmap.writeTables(&writer)
    try writer.write("zone counters", &zoneItems)
    try writer.write("NUMA counters", &numaItems)
    try writer.write("node counters", &nodeItems)
    try writer.write("event counters", &events)
    try trace.writeTables(&writer)
  }
}
