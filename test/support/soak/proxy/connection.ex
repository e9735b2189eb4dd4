defmodule Penstock.Soak.Proxy.Connection do
  @moduledoc false
  # One connection through the proxy: a pump each way, and whoever ends it.

  @connect [:binary, active: false, nodelay: true]
  @connect_timeout 5_000

  def run(target, plan) do
    receive do
      {:go, client} -> open(client, target, plan)
    end
  end

  defp open(client, target, plan) do
    case :gen_tcp.connect({127, 0, 0, 1}, target, @connect, @connect_timeout) do
      {:ok, server} ->
        main = self()
        if plan.timed, do: Process.send_after(self(), {:do, elem(plan.timed, 1)}, elem(plan.timed, 0))
        spawn_link(fn -> send(main, {:do, pump(client, server, 0, plan.up)}) end)
        spawn_link(fn -> send(main, {:do, pump(server, client, 0, plan.down)}) end)
        wait([client, server], plan, 2)

      {:error, _} ->
        close([client], :reset)
    end
  end

  defp wait(sockets, _plan, 0), do: close(sockets, :close)

  defp wait(sockets, plan, pumps) do
    receive do
      {:do, :ended} -> wait(sockets, plan, pumps - 1)
      {:do, ending} -> close(sockets, ending)
      :calm when plan.up == [] and plan.down == [] and plan.timed == nil -> wait(sockets, plan, pumps)
      :calm -> close(sockets, :reset)
    end
  end

  # The pumps are linked, and end with what they read from.
  defp close(sockets, ending) do
    for socket <- sockets do
      if ending == :reset, do: :inet.setopts(socket, linger: {true, 0})
      :gen_tcp.close(socket)
    end
  end

  defp pump(from, to, passed, plan) do
    case :gen_tcp.recv(from, 0) do
      {:ok, bytes} -> pass(bytes, from, to, passed, plan)
      {:error, _} -> ended(to)
    end
  end

  defp ended(to) do
    :gen_tcp.shutdown(to, :write)
    :ended
  end

  defp pass(bytes, from, to, passed, [{byte, fault} | plan]) when passed + byte_size(bytes) >= byte do
    {before, rest} = :erlang.split_binary(bytes, byte - passed)
    :gen_tcp.send(to, before)

    case fault do
      {:wait, milliseconds} ->
        Process.sleep(milliseconds)
        pass(rest, from, to, byte, plan)

      {:drip, piece, pause, count} ->
        drip(rest, from, to, byte, plan, {piece, pause, byte + count})

      :half_close ->
        # The other way goes on; nothing more comes this way.
        ended(to)
        Process.sleep(:infinity)

      :freeze ->
        Process.sleep(:infinity)

      ending ->
        ending
    end
  end

  defp pass(bytes, from, to, passed, plan) do
    case :gen_tcp.send(to, bytes) do
      :ok -> pump(from, to, passed + byte_size(bytes), plan)
      {:error, _} -> :ended
    end
  end

  defp drip("", from, to, passed, plan, drip) do
    case :gen_tcp.recv(from, 0) do
      {:ok, bytes} -> drip(bytes, from, to, passed, plan, drip)
      {:error, _} -> ended(to)
    end
  end

  defp drip(bytes, from, to, passed, plan, {_piece, _pause, until}) when passed >= until,
    do: pass(bytes, from, to, passed, skipped(plan, passed))

  defp drip(bytes, from, to, passed, plan, {piece, pause, _until} = drip) do
    count = min(piece, byte_size(bytes))
    {drop, rest} = :erlang.split_binary(bytes, count)
    :gen_tcp.send(to, drop)
    Process.sleep(pause)
    drip(rest, from, to, passed + count, plan, drip)
  end

  # Faults that fell into what was dripped come right after it.
  defp skipped(plan, passed), do: for({byte, fault} <- plan, do: {max(byte, passed), fault})
end
