public import MemoryModel
internal import MemoryOperations

/// What came of a call, in words and as a number by which equal results are known.
public struct CallResult: Hashable, Sendable {
  public let text: String
  public let isRefused: Bool
  public let key: Int

  init(_ text: String, isRefused: Bool = false, key: Int = 0) {
    self.text = text
    self.isRefused = isRefused
    var hasher = Hasher()
    hasher.combine(text)
    hasher.combine(key)
    self.key = hasher.finalize()
  }

  private init(_ refusal: Refusal) {
    // The message may name frames, which differ between orders that come to the same.
    self.init(refusal.errno.name, isRefused: true)
  }

  /// The result of an operation that has come to its end.
  ///
  /// What a program can read from it must be part of its key.
  public init(of operation: any ExplorableOperation) {
    switch operation {
    case let pin as Pin:
      guard let outcome = pin.outcome else { self.init("unfinished"); return }
      if let id = outcome.pin {
        self.init("\(outcome.pages) page\(outcome.pages == 1 ? "" : "s")", key: id)
      } else {
        self.init(outcome.refusal ?? Refusal(.EINVAL, "", rule: ""))
      }
    case let call as CMAAllocation:
      switch call.outcome?.result {
      case .page(let pfn): self.init("allocated", key: pfn.index)
      case .refused(let refusal): self.init(refusal)
      case nil: self.init("unfinished")
      }
    case let call as OfflineCall:
      if let refusal = call.outcome?.refusal { self.init(refusal) } else { self.init("offline") }
    case let call as PopulateOperation: self.init(call.outcome, "ok")
    case let call as ForkOperation:
      if case .success(let child) = call.outcome {
        self.init("forked", key: child)
      } else {
        self.init(call.outcome, "")
      }
    case let call as UnmapOperation: self.init(call.outcome, "ok")
    case let call as UnpinOperation: self.init(call.outcome == nil ? "unfinished" : "ok")
    case let call as AtomicCall:
      switch call.outcome {
      case .done(let number): self.init("ok", key: number)
      case .refused(let refusal): self.init(refusal)
      case nil: self.init("unfinished")
      }
    default:
      guard let summary = operation.summary else {
        self.init("ok", key: operation.hashValue)
        return
      }
      if let refusal = summary.refusal {
        self.init(refusal)
      } else {
        self.init(summary.text, key: summary.key)
      }
    }
  }

  private init<Value>(_ result: Result<Value, Refusal>?, _ text: String) {
    switch result {
    case .success: self.init(text)
    case .failure(let refusal): self.init(refusal)
    case nil: self.init("unfinished")
    }
  }
}
