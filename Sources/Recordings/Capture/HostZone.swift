internal import MemoryModel

/// One zone as /proc/zoneinfo describes it (rule A8.3).
struct HostZone {
  var id: HostZoneID
  var line: Int
  /// The numbers by their labels: `free`, `min`, `managed`, `start_pfn`, `nr_free_cma` and so on.
  var values: [String: Int] = [:]
  var protection: [Int] = []
  var threshold = 0
  var cpus: [CPU] = []

  struct CPU {
    var values: [String: Int] = [:]
  }

  subscript(_ label: String) -> Int { values[label] ?? 0 }

  var range: PFNRange { PFNRange(self["start_pfn"], self["start_pfn"] + self["spanned"]) }
  var isPopulated: Bool { self["present"] > 0 }

  /// All zones of the file, populated or not, in its order.
  static func parse(_ file: HostText) throws(RecordingError) -> [HostZone] {
    var zones: [HostZone] = []
    var isNodePart = false
    for line in file.lines.indices {
      if let head = try file.zoneHead(line) {
        zones.append(HostZone(id: head.id, line: line))
        isNodePart = false
        continue
      }
      let words = file.words(line)
      guard let first = words.first else { continue }
      guard !zones.isEmpty else { throw file.error(line, "this belongs to no zone") }
      switch first {
      case "per-node": isNodePart = true
      case "pages":
        isNodePart = false
        guard words.count == 3 else { throw file.error(line, "\"pages free\" has no number") }
        zones[zones.count - 1].values["free"] = try file.count(words[2], line, "pages free")
      case "pagesets": break
      case "protection:":
        try parseProtection(words.dropFirst(), file, line, &zones[zones.count - 1])
      case "vm":
        guard words.count == 4 else { throw file.error(line, "the threshold has no number") }
        zones[zones.count - 1].threshold = try file.count(words[3], line, "the threshold")
      case "cpu:":
        zones[zones.count - 1].cpus.append(CPU())
      default:
        // Node counters are taken from vmstat, and other lines of two words may come and go.
        guard !isNodePart, words.count == 2 else { continue }
        try parseValue(words, file, line, &zones[zones.count - 1])
      }
    }
    for zone in zones where zone.isPopulated { try zone.checkWhole(file) }
    return zones
  }

  private static func parseValue(
    _ words: [Substring], _ file: HostText, _ line: Int, _ zone: inout HostZone
  ) throws(RecordingError) {
    var label = words[0]
    guard label.last == ":" else {
      zone.values[String(label)] = try file.count(words[1], line, String(label))
      return
    }
    label.removeLast()
    let value = try file.count(words[1], line, String(label))
    if label == "start_pfn" || label == "node_unreclaimable" || zone.cpus.isEmpty {
      zone.values[String(label)] = value
    } else {
      zone.cpus[zone.cpus.count - 1].values[String(label)] = value
    }
  }

  private static func parseProtection(
    _ words: some Sequence<Substring>, _ file: HostText, _ line: Int, _ zone: inout HostZone
  ) throws(RecordingError) {
    for word in words {
      let digits = word.drop { $0 == "(" }.prefix { $0.isNumber }
      zone.protection.append(try file.count(digits, line, "protection"))
    }
  }

  private func checkWhole(_ file: HostText) throws(RecordingError) {
    for label in ["min", "low", "high", "spanned", "present", "managed", "start_pfn"]
    where values[label] == nil {
      throw file.error(
        line, "zone \(id.index.name) of node \(id.node) has no \"\(label)\": the file is cut off")
    }
    guard !cpus.isEmpty else {
      throw file.error(line, "zone \(id.index.name) of node \(id.node) lists no CPU")
    }
    guard range.end <= 1 << 32 else {
      throw RecordingError(
        file.name, line: line + 1,
        "zone \(id.index.name) ends at pfn \(range.end), more than the model's 2^32 frames")
    }
    guard self["present"] <= self["spanned"], self["managed"] <= self["present"] else {
      throw file.error(
        line,
        "zone \(id.index.name): spanned \(self["spanned"]), present \(self["present"]) and "
          + "managed \(self["managed"]) do not descend")
    }
    let marks = ["min", "low", "high"].map { self[$0] }
    guard marks[0] <= marks[1], marks[1] <= marks[2] else {
      throw file.error(line, "zone \(id.index.name): the watermarks \(marks) do not ascend")
    }
  }
}
