// "did you mean": the gate's measure, so that both sides suggest alike.

internal import CLuaGate

enum NearestName {
  /// The name nearest to `name`, the first by name among equals.
  static func find(_ name: String, in candidates: [String]) -> String? {
    let sorted = candidates.sorted()
    let memory = NativeMemory()
    let pointers = unsafe sorted.map { unsafe memory.string($0) }
    let position = unsafe pointers.withUnsafeBufferPointer { buffer in
      unsafe buffer.isEmpty ? -1 : gate_nearest(name, buffer.baseAddress!, Int32(buffer.count))
    }
    return position < 0 ? nil : sorted[Int(position)]
  }
}
