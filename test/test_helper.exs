# The host project is a part of its own of bin/test: it runs cargo.
ExUnit.start(exclude: [:host_project])
