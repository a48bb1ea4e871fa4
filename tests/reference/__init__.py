# Plain-loop oracles: slow, one picture at a time, written from the published recipes, not from the engine.
