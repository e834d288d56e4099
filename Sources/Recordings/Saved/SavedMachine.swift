internal import MemoryModel

// Invariant: a file is the magic, a version, and sections one behind the other, each with the sum of its
// own head and of its bytes; the last one says how many there are. So a reader knows of every byte
// whether it is the one that was written, and of a file whether it is whole.
//
//     16 bytes  magic
//      4        version of the format
//      4        CRC-32 of the 20 bytes before
//     sections:
//      4  kind   4  table   8  offset   8  bytes   8  packed bytes   4  CRC-32 of the packed bytes
//      4  CRC-32 of the 36 bytes before; then the packed bytes
//
// Numbers are little-endian, packed is zlib. Kinds: the head of the file, the fields, any number of
// stretches of tables, the end. What a table's elements mean is this version's own business: the head
// names each table with the size of an element, and the version grows when a meaning changes.

/// Machines in files: what `m:save(file)` writes.
public enum SavedMachine {
  static let magic = Array("pinlab machine\n\0".utf8)
  /// Grows whenever a field or an element of a table comes to mean something else.
  ///
  /// Only machines of this very format are read: a machine is cheap to make again by its script, and what
  /// an older one meant nobody could test.
  public static let version: UInt32 = 3
  static let sectionBytes = 40

  enum Kind: UInt32 {
    case head = 1
    case fields = 2
    case stretch = 3
    case end = 4
  }

  struct Head: Codable {
    var shape: MachineShape
    /// The checks of the model found nothing; a reader that finds something refuses the file.
    ///
    /// Checks cost by the size of the machine, so large ones are not checked, and a machine whose
    /// invariants somebody broke on purpose can be saved, too.
    var isSound: Bool
  }

  /// Frames up to which a machine is checked as a whole: 16 GiB.
  static let checkLimit = 1 << 22

  /// Whether a file begins as a saved machine does.
  public static func isSaved(_ path: String) -> Bool {
    guard let file = try? InputFile(path) else { return false }
    return (try? file.read(magic.count)) == magic
  }
}
