import MemoryExploration
import MemoryModel

/// Tasks that make the same calls whatever they return.
final class FixedProgram: TaskProgram {
  private let tasks: [[TaskCall]]

  init(_ tasks: [[(name: String, operation: any ExplorableOperation)]]) {
    self.tasks = tasks.map { calls in
      calls.enumerated().map { place, call in
        TaskCall(call.operation, name: call.name, place: place)
      }
    }
  }

  var taskCount: Int { tasks.count }

  func firstCall(of task: Int) -> TaskCall? { tasks[task].first }

  func call(of task: Int, after call: TaskCall) -> TaskCall? {
    call.place + 1 < tasks[task].count ? tasks[task][call.place + 1] : nil
  }
}
