defmodule Penstock.HostProjectTest do
  # Not async: it runs cargo in the target folder of this tree, so that only the crates of the clone are built anew.
  use ExUnit.Case, async: false

  @moduletag :host_project
  @moduletag timeout: 600_000
  @root Path.expand("..", __DIR__)
  @here Path.join(@root, "_build/host_project")

  for {kind, title} <- [path: "a path: dependency", git: "a git: dependency"] do
    test "a project with Penstock as #{title} calls it from Elixir and from Erlang, in two environments" do
      host = generate(unquote(kind))

      for environment <- ["dev", "prod"] do
        {said, status} = mix(host, environment, ["do", "deps.get", "+", "compile"])
        assert status == 0, said

        assert run(host, environment, "IO.puts(Host.call())") == {"ok\n", 0}
        {said, 0} = run(host, environment, ":orders.main()")
        assert said =~ "handled orders 0 to 3"
      end
    end
  end

  test "a dependency whose folder is read-only is built, and nothing is written into it" do
    host = generate(:git)
    {said, status} = mix(host, "dev", ["deps.get"])
    assert status == 0, said
    dependency = Path.join(host, "deps/penstock")
    before = files(dependency)

    on_exit(fn -> {_, 0} = System.cmd("chmod", ["-R", "u+w", dependency]) end)
    {_, 0} = System.cmd("chmod", ["-R", "a-w", dependency])
    {said, status} = mix(host, "dev", ["compile"])
    assert status == 0, said

    assert run(host, "dev", "IO.puts(Host.call())") == {"ok\n", 0}
    assert files(dependency) == before
  end

  test "a second VM that replaces the library leaves the first one its own" do
    host = generate(:git)
    {said, status} = mix(host, "dev", ["do", "deps.get", "+", "compile"])
    assert status == 0, said

    first = start_answering(host)
    assert answer(first) == "ok"
    library = Path.join(host, "_build/dev/lib/penstock/priv/native/penstock_nif.so")
    before = File.stat!(library).inode

    # A library that differs from what cargo built is what an update of the dependency looks like.
    replace_by_older(library)
    {said, status} = mix(host, "dev", ["deps.compile", "penstock", "--force"])
    assert status == 0, said
    assert File.stat!(library).inode != before

    assert answer(first) == "ok"

    assert run(host, "dev", "IO.puts(Host.call())") == {"ok\n", 0}

    Port.command(first, "stop\n")
    assert_receive {^first, {:exit_status, 0}}, 30_000
  end

  # All but what git keeps for itself.
  defp files(folder) do
    for file <- Path.wildcard(Path.join(folder, "**"), match_dot: true),
        not String.contains?(file, "/.git/"),
        %{type: type, size: size, mtime: mtime} = File.lstat!(file),
        do: {file, type, size, mtime}
  end

  defp replace_by_older(library) do
    older = library <> ".older"
    File.write!(older, File.read!(library) <> "an older one")
    File.rename!(older, library)
  end

  # A VM that answers a line for every line it gets, by calling into the library that it loaded at its start.
  defp start_answering(host) do
    Port.open(
      {:spawn_executable, System.find_executable("mix")},
      [
        :binary,
        :exit_status,
        line: 1000,
        cd: host,
        env: for({name, value} <- environment("dev"), do: {to_charlist(name), to_charlist(value)}),
        args: ["run", "--no-compile", "-e", "Host.answer()"]
      ]
    )
  end

  defp answer(port) do
    Port.command(port, "go\n")
    assert_receive {^port, {:data, {:eol, line}}}, 30_000
    line
  end

  defp run(host, environment, code), do: mix(host, environment, ["run", "--no-compile", "-e", code])

  defp mix(host, environment, args) do
    System.cmd("mix", args, cd: host, env: environment(environment), stderr_to_stdout: true)
  end

  # No Hex, no rebar and no archive are to be found.
  defp environment(environment) do
    [
      {"MIX_ENV", environment},
      {"MIX_HOME", Path.join(@here, "mix")},
      {"HEX_HOME", Path.join(@here, "hex")},
      {"HEX_OFFLINE", "1"},
      {"PENSTOCK_TARGET_DIR", Path.join(@root, "_build/native")}
    ]
  end

  defp generate(kind) do
    host = Path.join(@here, to_string(kind))
    for left <- ~w(_build lib src mix.lock), do: File.rm_rf!(Path.join(host, left))

    for {name, text} <- Penstock.HostProject.files(dependency(kind)) do
      path = Path.join(host, name)
      File.mkdir_p!(Path.dirname(path))
      File.write!(path, text)
    end

    host
  end

  defp dependency(:path), do: [path: @root]
  defp dependency(:git), do: [git: "file://" <> repository()]

  # The tree as it is now, also what is not committed yet.
  defp repository do
    repository = Path.join(@here, "repository")
    File.rm_rf!(repository)
    File.mkdir_p!(repository)
    {files, 0} = System.cmd("git", ~w(ls-files -z --cached --others --exclude-standard), cd: @root)

    for file <- String.split(files, "\0", trim: true), File.exists?(Path.join(@root, file)) do
      copy = Path.join(repository, file)
      File.mkdir_p!(Path.dirname(copy))
      File.cp!(Path.join(@root, file), copy)
    end

    git(repository, ~w(init --quiet))
    git(repository, ~w(add --all))
    git(repository, ~w(-c user.name=test -c user.email=test@localhost commit --quiet -m tree))
    repository
  end

  defp git(repository, args) do
    {said, status} = System.cmd("git", args, cd: repository, stderr_to_stdout: true)
    assert status == 0, said
  end
end
