internal import MemoryModel

/// Free blocks by order: /proc/buddyinfo (rule A8.1).
struct HostFreeCounts {
  var zones: [HostZoneID: [Int]] = [:]
  var orderCount = 0

  init(_ file: HostText) throws(RecordingError) {
    for line in file.lines.indices where !file.lines[line].isEmpty {
      guard let (id, words) = try file.zoneHead(line) else {
        throw file.error(line, "\"\(file.lines[line])\" does not start with \"Node\"")
      }
      guard zones.isEmpty || words.count == orderCount, (2...11).contains(words.count) else {
        throw file.error(
          line,
          "\(words.count) orders, but \(zones.isEmpty ? "2 to 11" : "\(orderCount)") expected")
      }
      orderCount = words.count
      var counts: [Int] = []
      for (order, word) in words.enumerated() {
        counts.append(try file.count(word, line, "order \(order)"))
      }
      zones[id] = counts
    }
    guard !zones.isEmpty else {
      throw RecordingError("\(file.name) is empty; capture the host again")
    }
  }
}

/// Free blocks and pageblocks by type: /proc/pagetypeinfo (rule A8.2).
struct HostTypeCounts {
  var pageblockOrder: Int?
  var types: [MigrateType] = []
  /// Free blocks of each order by type.
  var free: [HostZoneID: [MigrateType: [Int]]] = [:]
  var pageblocks: [HostZoneID: [MigrateType: Int]] = [:]

  init(_ file: HostText) throws(RecordingError) {
    var columns: [MigrateType]?
    for line in file.lines.indices {
      let text = file.lines[line]
      let words = file.words(line)
      if text.hasPrefix("Page block order:"), let last = words.last {
        let order = try file.count(last, line, "the order of a pageblock")
        guard (1...15).contains(order) else {
          throw file.error(line, "a pageblock of order \(order)")
        }
        pageblockOrder = order
      } else if text.hasPrefix("Number of blocks") {
        columns = []
        for word in words.dropFirst(4) { columns?.append(try Self.type(word, file, line)) }
        types = columns ?? []
      } else if text.hasPrefix("Number of mixed") {
        columns = nil
      } else if let head = try file.zoneHead(line) {
        if head.rest.first == "type" {
          try parseFree(head.id, head.rest, file, line)
        } else if let columns {
          try parsePageblocks(head.id, head.rest, columns, file, line)
        }
      }
    }
    guard pageblockOrder != nil, !pageblocks.isEmpty else {
      throw RecordingError(
        "\(file.name) has no table of pageblocks: it is cut off; capture the host again")
    }
  }

  private mutating func parseFree(
    _ id: HostZoneID, _ words: [Substring], _ file: HostText, _ line: Int
  ) throws(RecordingError) {
    guard words.count > 2 else { throw file.error(line, "a type without numbers") }
    let type = try Self.type(words[1], file, line)
    var counts: [Int] = []
    // A capped number reads ">100000".
    for word in words.dropFirst(2) {
      counts.append(try file.count(word.drop { $0 == ">" }, line, type.name))
    }
    free[id, default: [:]][type] = counts
  }

  private mutating func parsePageblocks(
    _ id: HostZoneID, _ words: [Substring], _ columns: [MigrateType], _ file: HostText, _ line: Int
  ) throws(RecordingError) {
    guard words.count == columns.count else {
      throw file.error(line, "\(words.count) numbers under \(columns.count) types")
    }
    for (type, word) in zip(columns, words) {
      pageblocks[id, default: [:]][type] = try file.count(word, line, type.name)
    }
  }

  private static func type(
    _ name: Substring, _ file: HostText, _ line: Int
  ) throws(RecordingError) -> MigrateType {
    guard let type = MigrateType(name: name) else {
      throw RecordingError(
        file.name, line: line + 1,
        "type \"\(name)\" is none that the model has; kernels before 4.4 are not supported")
    }
    return type
  }
}
