public import MemoryModel

extension SavedMachine {
  /// Writes a machine; costs the memory that it has touched.
  ///
  /// The file is written beside its place and renamed when it is whole and on the disk: whoever looks,
  /// or finds it after a crash, sees all of the old or all of the new.
  ///
  /// - Parameter isReplacing: Also replace a file that is no saved machine.
  /// - Parameter goesOn: Asked now and then; false gives up and leaves everything as it was.
  /// - Returns: The bytes written.
  @discardableResult
  public static func save(
    _ machine: borrowing Machine, to path: String, isReplacing: Bool = false,
    goesOn: () -> Bool = { true }
  ) throws(RecordingError) -> Int {
    guard machine.isAtRest, !machine.isNoting else {
      throw RecordingError("an operation is under way on the machine; run it to its end first")
    }
    let target = OutputFile.resolve(path)
    if OutputFile.exists(target), !isReplacing, !isSaved(target) {
      throw RecordingError(
        "\(path) exists and is no saved machine; choose another name, or save(file, true)")
    }
    do {
      let file = try OutputFile(target, shownAs: path)
      try write(machine, to: file, goesOn)
      return try file.finish()
    } catch let error as RecordingError {
      throw error
    } catch let error as MemoryError {
      throw RecordingError("\(path): \(error.message)")
    } catch {
      throw RecordingError("\(path): \(error)")
    }
  }

  private static func write(
    _ machine: borrowing Machine, to file: OutputFile, _ goesOn: () -> Bool
  ) throws {
    var start = magic
    start.append(version)
    start.append(Checksum.of(start))
    try file.write(start)
    var sections = 0
    func put(_ kind: Kind, table: Int = 0, offset: Int = 0, _ bytes: [UInt8]) throws {
      guard goesOn() else { throw RecordingError("the script was stopped; nothing was saved") }
      let packed = try Packing.pack(bytes)
      var section: [UInt8] = []
      section.append(kind.rawValue)
      section.append(UInt32(table))
      section.append(UInt64(offset))
      section.append(UInt64(bytes.count))
      section.append(UInt64(packed.count))
      section.append(Checksum.of(packed))
      section.append(Checksum.of(section))
      try file.write(section)
      try file.write(packed)
      sections += 1
    }
    let isSound =
      machine.frames.count <= checkLimit && machine.check() == nil && machine.checkMemory() == nil
    try put(.head, try FieldBytes.encode(Head(shape: MachineShape(machine), isSound: isSound)))
    try put(.fields, try machine.savedFields())
    try machine.forEachStretch { table, offset, bytes in
      try put(.stretch, table: table, offset: offset, bytes)
    }
    try put(.end, offset: sections, [])
  }
}

extension [UInt8] {
  fileprivate mutating func append(_ number: some FixedWidthInteger) {
    for index in 0..<number.bitWidth / 8 {
      append(UInt8(truncatingIfNeeded: number >> (8 * index)))
    }
  }
}
