extension Machine { package mutating func splitLeaf(_ space: Int, page: Int) { fatalError() } }
