/// One request for a block of pages, with everything that is derived from its flags once.
struct AllocationRequest {
  var gfp: GFPFlags
  var order: Int
  /// The node whose zonelist is used.
  var node: Int
  var highest: ZoneIndex
  var type: MigrateType
  /// The position in the zonelist of the first zone that may serve the request (rule A1.13).
  var preferred: Int
  /// The task may have no CMA pages, though its pages can move (PF_MEMALLOC_NOCMA of 5.9 to 5.12).
  var avoidsCMA = false
}

/// What came of a request.
public enum AllocationResult: Sendable, Hashable {
  case page(PFN)
  case refused(Refusal)

  public var pfn: PFN? {
    if case .page(let pfn) = self { pfn } else { nil }
  }
}
