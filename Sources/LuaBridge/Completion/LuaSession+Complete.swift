// Completion: the text says what is asked, raw reads of the state say what there is.
//
// Invariant: nothing of the script runs. Tables are read raw, and of objects only what is declared.

internal import CLuaGate

extension LuaSession {
  /// What could stand at the cursor of a line.
  ///
  /// - Parameter cursor: A position in characters; outside the line it is moved to its nearest end.
  public func complete(_ line: String, cursor: Int? = nil) -> LuaCompletions {
    let characters = Array(line)
    let cursor = min(max(0, cursor ?? characters.count), characters.count)
    let context = CompletionContext(Array(characters[..<cursor]))
    var finder = CompletionFinder(core: core)
    finder.find(context)
    let matching = finder.found.filter { $0.text.hasPrefix(context.word) }
    var candidates: [LuaCompletions.Candidate] = []
    for candidate in matching.sorted(by: { $0.text < $1.text })
    where candidate.text != candidates.last?.text { candidates.append(candidate) }
    // Names that start with an underscore are private unless asked for.
    if context.word.isEmpty { candidates.removeAll { $0.text.hasPrefix("_") } }
    return LuaCompletions(
      start: context.start, candidates: candidates, wantsFileNames: finder.wantsFileNames)
  }
}

/// Looks candidates up in a session.
struct CompletionFinder {
  let core: SessionCore
  var found: [LuaCompletions.Candidate] = []
  var wantsFileNames = false

  init(core: SessionCore) { self.core = core }

  mutating func find(_ context: CompletionContext) {
    let thread = unsafe gate_main(core.session)
    let top = unsafe gate_top(thread)
    defer { unsafe gate_set_top(thread, top) }
    switch context.place {
    case .global:
      found += CompletionContext.keywords.map { .init(text: $0, kind: .keyword, doc: "") }
      guard unsafe gate_push_globals(thread) else { return }
      unsafe addKeys(of: thread, at: unsafe gate_top(thread), kind: .name, methodsOnly: false)
    case .field(let path, let isMethod):
      unsafe addFields(thread, path, isMethod: isMethod)
    case .argumentName(let path, let isMethod):
      guard let function = unsafe function(thread, path, isMethod), function.style == .named else {
        return find(CompletionContext(globalWord: context))
      }
      found += function.parameters.map {
        .init(text: $0.name, kind: .argument, doc: HelpText.parameterWords($0))
      }
    case .positional(let path, let isMethod, let position):
      guard let function = unsafe function(thread, path, isMethod), function.style == .positional,
        let parameter = parameter(function, at: position)
      else { return }
      addValues(of: parameter, word: context.word)
    case .named(let path, let isMethod, let name):
      guard let function = unsafe function(thread, path, isMethod), function.style == .named,
        let parameter = function.parameters.first(where: { $0.name == name })
      else { return }
      addValues(of: parameter, word: context.word)
    case .nothing: break
    }
  }

  private func parameter(_ function: LuaFunction, at position: Int) -> LuaParameter? {
    if position < function.parameters.count { return function.parameters[position] }
    return function.parameters.last.flatMap { $0.isRest ? $0 : nil }
  }

  private mutating func addValues(of parameter: LuaParameter, word: String) {
    switch parameter.type {
    case .file: wantsFileNames = true
    case .flags(let names):
      // Earlier names of the list stay in front.
      let kept = word.lastIndex(of: "|").map { String(word[...$0]) } ?? ""
      found += names.map { .init(text: kept + $0, kind: .value, doc: parameter.doc) }
    default:
      found += parameter.type.names.map { .init(text: $0, kind: .value, doc: parameter.doc) }
    }
  }

  // ---- Walking ----

  /// Pushes the value at the end of the path.
  ///
  /// False when it cannot be reached by raw reads.
  private func push(_ thread: OpaquePointer, _ path: [CompletionContext.Step]) -> Bool {
    guard unsafe gate_push_globals(thread) else { return false }
    for step in path {
      let slot = unsafe gate_top(thread)
      let value = unsafe gate_read(thread, slot)
      switch unsafe value.kind {
      case GATE_TABLE:
        let pushed =
          switch step {
          case .field(let name): unsafe gate_push_field(thread, slot, name, name.utf8.count)
          case .index(let index): unsafe gate_push_index(thread, slot, index)
          }
        guard pushed else { return false }
      case GATE_STRING:
        guard unsafe gate_push_index_table(thread, slot), case .field(let name) = step,
          unsafe gate_push_field(thread, slot + 1, name, name.utf8.count)
        else { return false }
      default: return false
      }
    }
    return true
  }

  private mutating func addFields(
    _ thread: OpaquePointer, _ path: [CompletionContext.Step], isMethod: Bool
  ) {
    guard unsafe push(thread, path) else { return }
    let slot = unsafe gate_top(thread)
    let value = unsafe gate_read(thread, slot)
    switch unsafe value.kind {
    case GATE_TABLE:
      unsafe addKeys(of: thread, at: slot, kind: isMethod ? .method : .field, methodsOnly: isMethod)
      if unsafe gate_push_index_table(thread, slot) {
        unsafe addKeys(
          of: thread, at: unsafe gate_top(thread), kind: isMethod ? .method : .field,
          methodsOnly: isMethod)
      }
    case GATE_STRING:
      guard isMethod, unsafe gate_push_index_table(thread, slot) else { return }
      unsafe addKeys(of: thread, at: unsafe gate_top(thread), kind: .method, methodsOnly: true)
    case GATE_OBJECT:
      guard let object = unsafe value.pointer?.assumingMemoryBound(to: gate_object.self),
        let type = unsafe core.type(of: object.pointee)
      else { return }
      let methods =
        type.methods.map { ($0.name, $0.abstract) } + [("help", "Explains this object.")]
      found += methods.map { .init(text: $0.0, kind: .method, doc: $0.1) }
      if !isMethod {
        found += type.properties.map { .init(text: $0.name, kind: .field, doc: $0.doc) }
      }
    default: break
    }
  }

  private mutating func addKeys(
    of thread: OpaquePointer, at table: Int32, kind: LuaCompletions.Kind, methodsOnly: Bool
  ) {
    let reader = unsafe StackReader(core: core, thread: thread)
    let top = unsafe gate_top(thread)
    guard unsafe gate_next_begin(thread) else { return }
    while unsafe gate_next(thread, table) {
      let slot = unsafe gate_top(thread)
      let key = unsafe gate_read(thread, slot - 1)
      if unsafe key.kind == GATE_STRING {
        let name = unsafe reader.string(key)
        let isFunction = unsafe gate_read(thread, slot).kind == GATE_FUNCTION
        if Self.isName(name), isFunction || !methodsOnly {
          unsafe found.append(.init(text: name, kind: kind, doc: doc(thread, slot)))
        }
      }
      unsafe gate_next_pop(thread)
    }
    unsafe gate_set_top(thread, top)
  }

  private func doc(_ thread: OpaquePointer, _ slot: Int32) -> String {
    guard let native = unsafe gate_function_at(thread, slot) else { return "" }
    return unsafe core.functions[UnsafeRawPointer(native)]?.function.abstract ?? ""
  }

  private static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, !(48...57).contains(first) else { return false }
    return text.utf8.allSatisfy {
      $0 == 95 || (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
    }
  }

  /// The declaration of the function or method at the end of the path.
  private func function(
    _ thread: OpaquePointer, _ path: [CompletionContext.Step], _ isMethod: Bool
  ) -> LuaFunction? {
    let isMember = path.count > 1
    guard unsafe push(thread, isMember && isMethod ? Array(path.dropLast()) : path) else {
      return nil
    }
    let slot = unsafe gate_top(thread)
    if isMember, isMethod, case .field(let name)? = path.last {
      let value = unsafe gate_read(thread, slot)
      guard unsafe value.kind == GATE_OBJECT,
        let object = unsafe value.pointer?.assumingMemoryBound(to: gate_object.self)
      else { return nil }
      return unsafe core.type(of: object.pointee)?.methods.first { $0.name == name }
    }
    guard let native = unsafe gate_function_at(thread, slot) else { return nil }
    return unsafe core.functions[UnsafeRawPointer(native)]?.function
  }
}
