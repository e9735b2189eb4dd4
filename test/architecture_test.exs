defmodule Penstock.ArchitectureTest do
  # guides/architecture.md says what is so.
  use ExUnit.Case, async: true

  @guide File.read!("guides/architecture.md")

  # As the guide lists them, lowest layer first: `{name, layer, crates it depends on}`.
  defp listed do
    for [_, name, layer, on] <- Regex.scan(~r/^\| `(\w+)` \| (core|io|edge) \|([^|]*)\|/m, @guide) do
      {name, layer, for([_, crate] <- Regex.scan(~r/`(\w+)`/, on), do: crate)}
    end
  end

  defp manifests do
    for path <- Path.wildcard("native/*/Cargo.toml") do
      text = File.read!(path)
      [_, name] = Regex.run(~r/^name = "(\w+)"/m, text)
      {path |> Path.dirname() |> Path.basename(), name, dependencies(text)}
    end
  end

  defp dependencies(text) do
    [_, section] = Regex.run(~r/^\[dependencies\]\n(.*?)(?=^\[|\z)/ms, text)
    for [_, name] <- Regex.scan(~r/^([\w-]+)(?:\.workspace)? =/m, section), do: name
  end

  test "it lists every crate, with the crates that it depends on" do
    folders = for {folder, _name, _dependencies} <- manifests(), do: folder

    for {folder, _name, dependencies} <- manifests() do
      assert {^folder, _layer, on} = List.keyfind(listed(), folder, 0), "the guide does not list #{folder}"
      assert Enum.sort(on) == Enum.sort(dependencies -- dependencies -- folders), "of #{folder}"
    end

    assert Enum.sort(for {name, _, _} <- listed(), do: name) == Enum.sort(folders)
  end

  test "crates depend on none of a higher layer, and on none below them in the list" do
    height = %{"core" => 0, "io" => 1, "edge" => 2}
    layers = for {name, layer, _on} <- listed(), into: %{}, do: {name, height[layer]}
    names = for {name, _layer, _on} <- listed(), do: name

    for {name, _layer, on} <- listed(), needed <- on do
      assert layers[needed] <= layers[name], "#{name} depends on #{needed}"
      assert Enum.find_index(names, &(&1 == needed)) < Enum.find_index(names, &(&1 == name))
    end
  end

  test "the core has no sockets, no tasks and no VM" do
    for {name, "core", _on} <- listed(), {^name, _, dependencies} <- manifests() do
      assert dependencies -- ~w(tokio tokio-stream tonic hyper h2 rustler socket2 rustix) == dependencies,
             name
    end
  end

  test "every file and folder that it names is there" do
    paths = for [_, path] <- Regex.scan(~r{`((?:native|lib|guides|test|bench)/[\w./*]*)`}, @guide), do: path
    assert length(paths) > 10
    for path <- paths, do: assert(File.exists?(path), "there is no #{path}")
    for [path] <- Regex.scan(~r{test/\w+\.exs}, @guide), do: assert(File.exists?(path), "there is no #{path}")
  end

  test "every module that it names is there, and every function" do
    names = for [_, name] <- Regex.scan(~r/`(Penstock(?:\.[A-Z]\w*)+)/, @guide), uniq: true, do: name
    assert length(names) > 5
    for name <- names, do: assert(Code.ensure_loaded?(Module.concat([name])), "there is no #{name}")

    for [_, name, function, arity] <-
          Regex.scan(~r{`(Penstock(?:\.[A-Z]\w*)+)\.([a-z]\w*[?!]?)/(\d)`}, @guide) do
      module = Module.concat([name])

      assert function_exported?(module, String.to_atom(function), String.to_integer(arity)),
             "#{name}.#{function}"
    end
  end

  # A type that is named as a crate's own, `crate::Type`, stands somewhere in that crate.
  test "every Rust item that it names is there" do
    items = for [_, crate, item] <- Regex.scan(~r/`(\w+)::(\w+)`/, @guide), uniq: true, do: {crate, item}
    assert items != []

    for {crate, item} <- items do
      sources = Path.wildcard("native/#{crate}/src/**/*.rs")

      assert Enum.any?(
               sources,
               &(File.read!(&1) =~ ~r/\b(?:struct|enum|trait|fn|type|const|static) #{item}\b/)
             ),
             "there is no #{crate}::#{item}"
    end
  end
end
