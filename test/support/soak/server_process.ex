defmodule Penstock.Soak.ServerProcess do
  @moduledoc false
  # The server binary, `PENSTOCK_SERVER`, as a process of its own. A shell between watches this VM: when it ends, the server is killed.

  @script """
  exec 3<&0 2>/dev/null
  "$@" </dev/null 2>&1 &
  server=$!
  echo "pid $server"
  { while read -r signal <&3; do kill -s "$signal" "$server"; done; kill -s KILL "$server"; } 2>/dev/null &
  watcher=$!
  wait "$server"
  echo "ended $?"
  kill "$watcher"
  """

  @doc "What its offline check says of a folder: its exit status, and the text."
  def check(folder) do
    {text, status} = System.cmd(binary(), ["--check", folder], stderr_to_stdout: true)
    {status, text}
  end

  defp binary, do: System.fetch_env!("PENSTOCK_SERVER")

  @doc """
  Starts it on a folder; owned by the calling process. `:arguments` are further ones.

  `{:ok, server}` once it answers, `{:refused, status, text}` when it ended before, or `:hangs`.
  """
  def start(folder, opts \\ []) do
    port = Keyword.get(opts, :port, 0)

    shell =
      Port.open({:spawn_executable, System.find_executable("bash")}, [
        :binary,
        :exit_status,
        line: 65_536,
        args: [
          "-c",
          @script,
          "server",
          System.fetch_env!("PENSTOCK_SERVER"),
          "--data",
          folder,
          "--port",
          "#{port}" | Keyword.get(opts, :arguments, [])
        ]
      ])

    await(%{shell: shell, port: nil}, "", deadline(Keyword.get(opts, :timeout, 60_000)))
  end

  defp await(server, text, deadline) do
    case next_line(server, deadline) do
      "listening " <> address ->
        {:ok, %{server | port: address |> String.split(":") |> List.last() |> to_int()}}

      "ended " <> status ->
        {:refused, to_int(status), String.trim(text)}

      "pid " <> _ ->
        await(server, text, deadline)

      line when is_binary(line) ->
        await(server, text <> line <> "\n", deadline)

      :timeout ->
        hangs(server)
    end
  end

  defp hangs(server) do
    signal(server, "KILL")
    :hangs
  end

  @doc "Sends it a signal and waits for its end: its exit status, and what it has said."
  def stop(server, signal \\ "KILL", timeout \\ 10_000) do
    signal(server, signal)
    await_end(server, "", deadline(timeout))
  end

  defp await_end(server, text, deadline) do
    case next_line(server, deadline) do
      "ended " <> status -> {to_int(status), text}
      line when is_binary(line) -> await_end(server, text <> line <> "\n", deadline)
      :timeout -> hangs(server)
    end
  end

  defp signal(%{shell: shell}, signal), do: Port.command(shell, signal <> "\n")

  defp next_line(%{shell: shell}, deadline) do
    receive do
      {^shell, {:data, {_, line}}} -> line
      {^shell, {:exit_status, status}} -> "ended #{status}"
    after
      max(deadline - System.monotonic_time(:millisecond), 0) -> :timeout
    end
  end

  defp deadline(timeout), do: System.monotonic_time(:millisecond) + timeout
  defp to_int(text), do: String.to_integer(String.trim(text))
end
