internal import CZlib

/// zlib over whole arrays.
enum Packing {
  static func pack(_ bytes: [UInt8]) throws(RecordingError) -> [UInt8] {
    if bytes.isEmpty { return [] }
    var length = compressBound(uLong(bytes.count))
    var packed = [UInt8](repeating: 0, count: Int(length))
    // Level 1: tables pack to a few per cent anyway, and time is what a user waits for.
    guard unsafe compress2(&packed, &length, bytes, uLong(bytes.count), 1) == Z_OK else {
      throw RecordingError("not enough memory to pack \(bytes.count) bytes")
    }
    packed.removeLast(packed.count - Int(length))
    return packed
  }

  /// nil when the bytes are not exactly that many, packed.
  static func unpack(_ packed: [UInt8], into count: Int) -> [UInt8]? {
    if count == 0 { return packed.isEmpty ? [] : nil }
    var bytes = [UInt8](repeating: 0, count: count)
    var length = uLong(count)
    var used = uLong(packed.count)
    guard unsafe uncompress2(&bytes, &length, packed, &used) == Z_OK, length == count,
      used == packed.count
    else { return nil }
    return bytes
  }

  /// The most that so many packed bytes can become: zlib packs at most 1032 to 1.
  static func largest(from packed: Int) -> Int { packed * 1032 + 64 }
}

enum Checksum {
  static func of(_ bytes: [UInt8]) -> UInt32 {
    unsafe UInt32(truncatingIfNeeded: crc32_z(0, bytes, bytes.count))
  }
}
