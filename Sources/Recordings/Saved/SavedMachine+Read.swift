public import MemoryModel

extension SavedMachine {
  /// The machine that a file holds.
  ///
  /// - Parameter goesOn: Asked now and then; false gives up.
  /// - Throws: Says what is wrong with the file: no saved machine, of another version, cut off, damaged,
  ///   or with contents that no machine can have.
  public static func load(
    _ path: String, goesOn: () -> Bool = { true }
  ) throws(RecordingError) -> Machine {
    do {
      return try read(try InputFile(path), goesOn)
    } catch let error as RecordingError {
      throw RecordingError("\(path): \(error.message)")
    } catch let error as MemoryError {
      throw RecordingError("\(path): \(error.message)")
    } catch let error as FieldError {
      throw RecordingError("\(path): impossible contents: \(error.text)")
    } catch {
      throw RecordingError("\(path): impossible contents: \(error)")
    }
  }

  private static func read(
    _ file: borrowing InputFile, _ goesOn: () -> Bool
  ) throws -> Machine {
    let start = try file.read(magic.count + 8)
    guard start.prefix(magic.count).elementsEqual(magic) else {
      throw RecordingError("no saved machine")
    }
    let written = start.number(UInt32.self, at: magic.count)
    guard written <= version else {
      throw RecordingError(
        "written in format \(written) by a newer pinlab; this one reads format \(version)")
    }
    guard written > 0, Checksum.of(Array(start.dropLast(4))) == start.number(at: start.count - 4)
    else { throw damaged("its first bytes") }
    guard written == version else {
      throw RecordingError(
        "written in format \(written) by an older pinlab; this one reads format \(version), so run the "
          + "script that made the machine and save it again")
    }
    var sections = 0
    let head = try FieldBytes.decode(
      Head.self, from: try section(file, .head, &sections).bytes)
    var machine = try Machine.empty(head.shape)
    try machine.restoreFields(try section(file, .fields, &sections).bytes)
    var restored: Machine.Restored = []
    while true {
      guard goesOn() else { throw RecordingError("the script was stopped; nothing was loaded") }
      let section = try section(file, nil, &sections)
      if section.kind == .end {
        guard section.offset == sections - 1, section.bytes.isEmpty else {
          throw damaged("sections are missing")
        }
        break
      }
      guard section.kind == .stretch, head.shape.tables.indices.contains(section.table) else {
        throw damaged("section \(sections) is of no kind that may stand there")
      }
      let table = head.shape.tables[section.table]
      try machine.restoreStretch(section.table, section.offset, section.bytes)
      let end = section.offset + section.bytes.count
      restored.append(
        (table.name, section.offset / table.stride..<(end + table.stride - 1) / table.stride))
    }
    guard file.isAtEnd else { throw damaged("there are bytes behind its end") }
    if let impossible = machine.firstImpossible(restored) {
      throw RecordingError("impossible contents: \(impossible)")
    }
    if head.isSound, let broken = machine.check() ?? machine.checkMemory() {
      throw RecordingError("impossible contents: \(broken)")
    }
    return machine
  }

  private struct Section {
    var kind: Kind
    var table: Int
    var offset: Int
    var bytes: [UInt8]
  }

  /// The next section, which must be of the given kind.
  private static func section(
    _ file: borrowing InputFile, _ kind: Kind?, _ count: inout Int
  ) throws -> Section {
    count += 1
    let head = try file.read(sectionBytes)
    guard Checksum.of(Array(head.dropLast(4))) == head.number(at: head.count - 4) else {
      throw damaged("the head of section \(count)")
    }
    let bytes = head.number(UInt64.self, at: 16)
    let packed = head.number(UInt64.self, at: 24)
    guard let found = Kind(rawValue: head.number(at: 0)), kind == nil || kind == found,
      let offset = Int(exactly: head.number(UInt64.self, at: 8)), offset <= 1 << 48,
      let size = Int(exactly: packed), let unpacked = Int(exactly: bytes),
      unpacked <= Packing.largest(from: size)
    else { throw damaged("section \(count) is none that may stand there") }
    guard size <= file.rest else { throw InputFile.cutOff }
    let payload = try file.read(size)
    guard Checksum.of(payload) == head.number(at: 32) else {
      throw damaged("section \(count)")
    }
    guard let contents = Packing.unpack(payload, into: unpacked) else {
      throw damaged("section \(count) cannot be unpacked")
    }
    return Section(
      kind: found, table: Int(head.number(UInt32.self, at: 4)), offset: offset, bytes: contents)
  }

  private static func damaged(_ what: String) -> RecordingError {
    RecordingError("damaged: \(what)")
  }
}

extension [UInt8] {
  fileprivate func number<Number: FixedWidthInteger>(
    _: Number.Type = UInt32.self, at position: Int
  ) -> Number {
    var number: Number = 0
    for index in 0..<Number.bitWidth / 8 {
      number |= Number(truncatingIfNeeded: self[position + index]) << (8 * index)
    }
    return number
  }
}
