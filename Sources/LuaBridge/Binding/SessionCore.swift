// What outlives a session: the C block that interrupters and references point at.
//
// Invariant: `session` is valid for as long as this object lives; the Lua state in it only until
// `close`. The gate refuses or ignores what comes after that.

internal import CLuaGate

/// The owner of a gate session and of everything the gate points at.
@safe final class SessionCore: @unchecked Sendable {
  let session: OpaquePointer
  var sink: (String) -> Void
  let memory = NativeMemory()
  var types: [String: CompiledType] = [:]
  /// Declarations by the address of their C twin, for help and completion.
  var functions: [UnsafeRawPointer: DeclaredFunction] = unsafe [:]
  var libraries: [LuaLibrary] = []
  /// What was refused last since the line of the prompt began.
  var refusal: String?

  init(limits: LuaLimits, sandbox: Bool, seed: UInt64, sink: @escaping (String) -> Void) {
    self.sink = sink
    let time = limits.time.map {
      UInt64(max(0, $0.components.seconds)) * 1_000_000_000
        + UInt64(max(0, $0.components.attoseconds / 1_000_000_000))
    }
    let gateLimits = gate_limits(
      memory: UInt64(max(0, limits.memory ?? 0)),
      instructions: UInt64(max(0, limits.instructions ?? 0)), nanoseconds: time ?? 0)
    // The context must be this object, which does not exist before `session` does.
    let box = SinkBox()
    let host = unsafe gate_host(
      context: Unmanaged.passRetained(box).toOpaque(),
      write: { context, bytes, length in
        let box = unsafe Unmanaged<SinkBox>.fromOpaque(context).takeUnretainedValue()
        guard let bytes = unsafe bytes else { return }
        unsafe box.core?.write(UnsafeRawBufferPointer(start: bytes, count: length))
      },
      release: { object in unsafe Unmanaged<AnyObject>.fromOpaque(object).release() })
    guard let opened = unsafe gate_open(gateLimits, sandbox, seed, host) else {
      fatalError("no memory for a Lua state")
    }
    unsafe session = opened
    sinkBox = box
    box.core = self
  }

  private let sinkBox: SinkBox

  func close() { unsafe gate_close(session) }

  deinit {
    unsafe gate_close(session)
    unsafe gate_free(session)
    unsafe Unmanaged.passUnretained(sinkBox).release()
  }

  private func write(_ bytes: UnsafeRawBufferPointer) {
    unsafe sink(String(decoding: bytes, as: UTF8.self))
  }

  func type(of object: gate_object) -> LuaType? {
    unsafe object.type.pointee.context.map {
      unsafe Unmanaged<CompiledType>.fromOpaque($0).takeUnretainedValue().declaration
    }
  }

  /// The Swift side of a host object; nil when it was closed.
  func handle(of object: gate_object) -> LuaHandle? {
    guard let held = unsafe object.object else { return nil }
    let compiled = unsafe Unmanaged<CompiledType>.fromOpaque(object.type.pointee.context!)
      .takeUnretainedValue()
    return unsafe LuaHandle(
      compiled.declaration.name, Unmanaged<AnyObject>.fromOpaque(held).takeUnretainedValue(),
      index: Int(object.index), generation: UInt32(object.generation))
  }
}

/// Breaks the circle between the core and the C callbacks that need it.
final class SinkBox {
  weak var core: SessionCore?
}

/// C memory that lives as long as the session core.
@safe final class NativeMemory {
  private var blocks: [UnsafeMutableRawPointer] = unsafe []
  private var objects: [AnyObject] = []

  func string(_ text: String) -> UnsafePointer<CChar> {
    let bytes = Array(text.utf8CString)
    let block = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    unsafe block.initialize(from: bytes, count: bytes.count)
    unsafe blocks.append(UnsafeMutableRawPointer(block))
    return unsafe UnsafePointer(block)
  }

  func array<Element>(_ elements: [Element]) -> UnsafeMutablePointer<Element> {
    let block = UnsafeMutablePointer<Element>.allocate(capacity: max(1, elements.count))
    unsafe block.initialize(from: elements, count: elements.count)
    unsafe blocks.append(UnsafeMutableRawPointer(block))
    return unsafe block
  }

  func keep(_ object: AnyObject) -> UnsafeMutableRawPointer {
    objects.append(object)
    return unsafe Unmanaged.passUnretained(object).toOpaque()
  }

  deinit {
    unsafe blocks.forEach { unsafe $0.deallocate() }
  }
}
