defmodule Penstock.EventStore.StalledServerTest do
  # Every embedded server of the VM stands still for as long as this takes, so it is alone; the server that is read from
  # is in a VM of its own.
  use ExUnit.Case, async: false

  import Penstock.Player
  import Penstock.Store

  alias Penstock.{Event, EventStore}
  alias Penstock.EventStore.Server

  @moduletag :capture_log

  defp code_paths, do: Enum.flat_map(:code.get_path(), &[~c"-pa", &1])

  # A server in another VM, which ends with it.
  defp elsewhere do
    {:ok, peer, _node} = :peer.start_link(%{connection: :standard_io, args: code_paths()})
    {:ok, _} = :peer.call(peer, :application, :ensure_all_started, [:penstock], 30_000)
    child = Server.child_spec(port: 0)
    {:ok, server} = :peer.call(peer, :supervisor, :start_child, [:kernel_safe_sup, child], 30_000)
    :peer.call(peer, Server, :connection_string, [server])
  end

  # Whoever opens a pipe to read waits until somebody opens it to write: so does a thread of the server that wants to read
  # the log, as on a disk that stands still, and every other one behind it.
  defp stand_still(path) do
    [log] = Path.wildcard(Path.join(path, "*.log"))
    File.rename!(log, log <> ".aside")
    {_, 0} = System.cmd("mkfifo", [log])
    log
  end

  defp ask_health(port) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
    :ok = :gen_tcp.send(socket, "GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    socket
  end

  # A call that nobody answers: until then, threads may still be there.
  defp unanswered(port) do
    socket = ask_health(port)

    case :gen_tcp.recv(socket, 0, 500) do
      {:error, :timeout} -> socket
      {:ok, _answer} -> unanswered(port)
    end
  end

  @tag :tmp_dir
  test "a server of the VM whose threads all stand still holds up no reader of another one", %{tmp_dir: path} do
    stalled = start_supervised!({Server, port: 0, data_dir: path})
    there = start_supervised!({EventStore, connection_string: Server.connection_string(stalled)}, id: :there)
    {:ok, _} = EventStore.append(there, "s", [Event.new("e", 1)])
    here = start_supervised!({EventStore, connection_string: elsewhere()}, id: :here)
    fill(here, "s", 1_000)

    log = stand_still(path)
    readers = for _ <- 1..4, do: Task.async(fn -> EventStore.read(there, "s", timeout: :infinity) end)
    silent = unanswered(Server.port(stalled))

    producer = subscribe(here, "s")
    consumer = player(producer)
    ask(consumer, 2_000)
    assert received(consumer, 1_000) == Enum.to_list(0..999)
    fill(here, "s", 1_000)
    assert received(consumer, 1_000) == Enum.to_list(1_000..1_999)

    # it stood still all the time
    assert :gen_tcp.recv(silent, 0, 0) == {:error, :timeout}
    assert Enum.all?(readers, &(Task.yield(&1, 0) == nil))
    # whoever waits to read goes on as soon as somebody may write, as long as that is so
    writer = Port.open({:spawn_executable, "/bin/sh"}, args: ["-c", "exec 3> \"$0\"; read -r _", log])
    assert {:ok, "HTTP/1.1 204" <> _} = :gen_tcp.recv(silent, 0, 60_000)
    for reader <- readers, do: assert({:error, _} = Task.await(reader, 60_000))
    Port.close(writer)
  end
end
