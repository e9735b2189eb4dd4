defmodule Penstock.Soak.Damage do
  @moduledoc false
  # A data folder is damaged, again and again another way. A server that is started on it refuses, names a file and has
  # changed nothing; or all that was acknowledged is there. What is never right: to start and to have lost something, to
  # hang, to panic.

  import Penstock.Soak.Fault

  alias Penstock.EventStore
  alias Penstock.EventStore.Server
  alias Penstock.Soak.Damage.{Store, Wound}
  alias Penstock.Soak.{Dice, ServerProcess, Writer}

  @wounds 25
  @start_timeout 60_000

  def run(seed, root), do: run(seed, root, :small, @wounds)

  @doc "So many wounds of stores of a size, see `Store.build/2`."
  def run(seed, root, size, count) do
    Dice.take(seed, :damage)
    store = Store.build(root, size)
    outcomes = for wound <- 1..count, do: wound(store, Path.join(root, "damaged"), {seed, wound})
    faults = for {:fault, text} <- outcomes, do: "\n    " <> text
    law(faults == [], "#{length(faults)} of #{count} wounds:#{faults}")
    {count, told(outcomes)}
  end

  defp told(outcomes) do
    outcomes |> Enum.frequencies() |> Enum.map_join(", ", fn {outcome, count} -> "#{count} #{outcome}" end)
  end

  defp wound(store, folder, {seed, number}) do
    Dice.take(seed, {:wound, number})
    File.rm_rf!(folder)
    File.cp_r!(store.folder, folder)
    # Now and then two at once.
    wounds = for _ <- 1..Dice.pick([1, 1, 1, 1, 2]), do: Wound.throw(folder, store.older)
    where = Dice.pick([:process, :process, :vm])

    try do
      {strays, before} = {Enum.flat_map(wounds, &elem(&1, 0)), hashes(folder)}
      checked = if Dice.chance(50), do: checked(folder, before, store)
      outcome = judge(start(where, folder), folder, before, Map.put(store, :wounds, length(wounds)))
      law(checked != :whole or outcome == :whole, "checked whole, and then #{outcome}")
      touched = files((before -- hashes(folder)) |> Enum.filter(fn {file, _} -> file in strays end))
      law(touched == "", "#{touched} is no file of a store's and was touched")
      outcome
    rescue
      fault in Penstock.Soak.Fault ->
        {:fault, "#{number} (#{where}) #{Enum.map_join(wounds, "; ", &elem(&1, 1))}: #{fault.message}"}
    end
  end

  # The offline check says no less than a start does, and changes nothing either.
  defp checked(folder, before, store) do
    {status, text} = ServerProcess.check(folder)
    law(hashes(folder) == before, "the check has changed the folder (#{text})")
    law(status in [0, 1] and not (text =~ "panicked"), "the check ended with status #{status}: #{text}")
    law(status == 0 or names_a_file?(text, folder, store), "checked, and no file is named: #{text}")
    if status == 0, do: :whole, else: :damaged
  end

  defp start(:process, folder) do
    case ServerProcess.start(folder, timeout: @start_timeout) do
      {:ok, server} ->
        {:started, server.port, fn -> ServerProcess.stop(server) end}

      {:refused, 1, text} ->
        {:refused, text}

      other ->
        other
    end
  end

  # In a process of its own, which a start that is refused cannot end.
  defp start(:vm, folder) do
    owner = self()
    reference = make_ref()

    holder =
      spawn_link(fn ->
        Process.flag(:trap_exit, true)
        send(owner, {reference, Server.start_link(port: 0, data_dir: folder)})
        receive(do: ({:EXIT, ^owner, _} -> :ok))
      end)

    receive do
      {^reference, {:ok, server}} ->
        {:started, Server.port(server), fn -> Server.stop(server) end}

      {^reference, {:error, error}} ->
        Process.unlink(holder)
        Process.exit(holder, :kill)
        {:refused, if(is_exception(error), do: Exception.message(error), else: brief(error))}
    after
      @start_timeout -> :hangs
    end
  end

  defp judge({:refused, text}, folder, before, store) do
    changed = before -- hashes(folder)
    more = hashes(folder) -- before
    law(changed == [] and more == [], "a refused start has changed #{files(changed ++ more)} (#{text})")
    law(not (text =~ "panicked"), "panicked: #{text}")
    law(names_a_file?(text, folder, store), "refused without the name of a file: #{text}")
    :refused
  end

  defp judge({:started, port, stop}, folder, _before, store) do
    outcome = looked_at(port, stop, store, "started without a word")
    # What it has made of the folder is started on as well.
    if outcome == :whole and Dice.chance(30), do: started_again(folder, store)
    outcome
  end

  defp judge(other, _folder, _before, _store), do: law(false, "ended as #{brief(other)}")

  defp started_again(folder, store) do
    case start(:process, folder) do
      {:started, port, stop} -> looked_at(port, stop, store, "started once more")
      other -> law(false, "it started, and once more it was #{brief(other)}")
    end
  end

  defp looked_at(port, stop, store, how) do
    {:ok, connection} = EventStore.start_link(connection_string: "esdb://127.0.0.1:#{port}?tls=false")
    found = Store.read(connection, port, store.streams)
    difference = difference(found, store)
    law(difference == nil, "#{how}: #{difference}")
    refusals = Store.refusals(found)

    for text <- refusals do
      law(names_a_file?(text, store.folder, store), "a read refused without the name of a file: #{text}")
    end

    if refusals == [], do: appends(connection)
    if refusals == [], do: :whole, else: :refused_at_a_read
  after
    stop.()
  end

  # Two at once may have met the last events and what knows of them. Nothing else may be lost, and no order.
  defp difference(found, %{wounds: 2} = store), do: Store.tail_lost(found, store.truth)
  defp difference(found, store), do: Store.difference(found, store.truth)

  # To a stream that is not compared: it comes last in `$all`, and is taken from there.
  defp appends(connection) do
    answer = EventStore.append(connection, "after", Writer.events("after", 0, 1))
    law(match?({:ok, _}, answer), "whole, and it refuses an append: #{brief(answer)}")
  end

  # What is there, or was: by its path or by its name.
  defp names_a_file?(text, folder, store) do
    for base <- [folder, store.folder], path <- paths(base), reduce: false do
      found? -> found? or text =~ Path.join(folder, path) or text =~ word(Path.basename(path))
    end
  end

  defp word(name), do: ~r/(^|[\s:"'\/])#{Regex.escape(name)}($|[\s:"',])/

  defp paths(folder) do
    for path <- folder |> Path.join("**") |> Path.wildcard(match_dot: true),
        do: Path.relative_to(path, folder)
  end

  defp files(hashes), do: hashes |> Enum.map(&elem(&1, 0)) |> Enum.uniq() |> Enum.join(", ")

  # Of everything: folders too, and whether what is there is a file.
  defp hashes(folder) do
    for path <- paths(folder), full = Path.join(folder, path) do
      {path, if(File.dir?(full), do: :folder, else: :erlang.md5(File.read!(full)))}
    end
  end
end
