defmodule Penstock.OtherPeer do
  @moduledoc false
  # A server that speaks HTTP/1.1 only, whatever it is asked.

  def listen(port) do
    test = self()

    spawn_link(fn ->
      {:ok, listener} = :gen_tcp.listen(port, [:binary, active: false, reuseaddr: true, ip: {127, 0, 0, 1}])
      {:ok, port} = :inet.port(listener)
      send(test, {self(), :listening, port})
      accept(listener)
    end)
  end

  def port(peer) do
    receive do: ({^peer, :listening, port} -> port)
  end

  @doc "Ends it, and frees its port."
  def stop(peer) do
    monitor = Process.monitor(peer)
    Process.unlink(peer)
    Process.exit(peer, :kill)
    receive do: ({:DOWN, ^monitor, :process, _, _} -> :ok)
  end

  defp accept(listener) do
    {:ok, socket} = :gen_tcp.accept(listener)
    :gen_tcp.recv(socket, 0)
    :gen_tcp.send(socket, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    # closing with something unread would reset the connection, and the answer with it
    drain(socket)
    accept(listener)
  end

  defp drain(socket) do
    case :gen_tcp.recv(socket, 0, 5000) do
      {:ok, _} -> drain(socket)
      {:error, _} -> :gen_tcp.close(socket)
    end
  end
end
