internal import MemoryModel

/// A text file of a capture, with what is needed to say where something is wrong in it.
struct HostText {
  let name: String
  let lines: [Substring]

  /// The file `name` of a capture, or nil when it is not there.
  init?(_ directory: String, _ name: String) throws(RecordingError) {
    let path = directory + "/" + name
    guard HostFile.exists(path) else { return nil }
    var bytes: [UInt8] = []
    do throws(HostFile.Failure) {
      bytes = try HostFile.read(path)
    } catch {
      throw RecordingError("\(path): \(error.reason)")
    }
    self.name = path
    lines = String(decoding: bytes, as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false)
  }

  /// An error at a line, numbered from 0 here and from 1 in the message.
  func error(_ line: Int, _ problem: String) -> RecordingError {
    RecordingError(name, line: line + 1, problem + "; capture the host again")
  }

  /// A count that is not negative and small enough to be added and shifted safely.
  func count(_ text: some StringProtocol, _ line: Int, _ what: String) throws(RecordingError) -> Int
  {
    guard let value = Int(text), value >= 0, value < 1 << 48 else {
      throw error(line, "\(what) is \"\(text)\", not a count")
    }
    return value
  }

  /// Blank-separated words of a line.
  func words(_ line: Int) -> [Substring] {
    lines[line].split(whereSeparator: { $0 == " " || $0 == "\t" })
  }

  /// Node and zone of a line that starts `Node 0, zone   Normal`, and the text behind them.
  ///
  /// - Returns: nil for a line that does not start with `Node `.
  func zoneHead(
    _ line: Int
  ) throws(RecordingError) -> (id: HostZoneID, rest: [Substring])? {
    var words = words(line)
    guard words.first == "Node" else { return nil }
    guard words.count >= 4, words[1].last == ",", words[2] == "zone" else {
      throw error(line, "\"\(lines[line])\" does not name a node and a zone")
    }
    let node = try count(words[1].dropLast(), line, "the node")
    let name = words[3].last == "," ? words[3].dropLast() : words[3]
    guard let index = ZoneIndex(name: name) else {
      throw RecordingError(
        self.name, line: line + 1,
        "zone \"\(name)\" is none that the model has (DMA, DMA32, Normal, Movable, Device)")
    }
    guard node < 32 else {
      throw RecordingError(
        self.name, line: line + 1, "node \(node) is more than the model's 32 nodes")
    }
    words.removeFirst(4)
    return (HostZoneID(node: node, index: index), words)
  }
}

/// A zone of a host, by what the files call it.
struct HostZoneID: Hashable, Comparable {
  var node: Int
  var index: ZoneIndex

  static func < (lhs: Self, rhs: Self) -> Bool {
    (lhs.node, lhs.index) < (rhs.node, rhs.index)
  }
}
