defmodule Penstock.EventStore.TlsTest do
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Error, Event, EventStore, LinearSubscription}
  alias Penstock.EventStore.Server

  @moduletag :capture_log

  setup do
    Process.flag(:trap_exit, true)
    start(tls: :self_made)
  end

  defp refusal(options) do
    {:ok, store} = EventStore.start_link(options)
    answer = EventStore.append(store, "s", Event.new("T", 1))
    GenServer.stop(store)
    answer
  end

  test "an encrypted server is appended to, read and subscribed to", %{store: store} do
    fill(store, "s", 300)
    assert {:ok, events} = EventStore.read(store, "s")
    assert length(events) == 300
    producer = subscribe(store, "s")
    tag = consume(producer, 300)
    assert producer |> take(tag, 300) |> revisions() == Enum.to_list(0..299)
  end

  test "the same is said by options", %{server: server} do
    {:ok, store} =
      EventStore.start_link(hosts: ["localhost:#{Server.port(server)}"], tls_ca_file: Server.ca_file(server))

    assert {:ok, _} = EventStore.append(store, "s", Event.new("T", 1))
    GenServer.stop(store)
  end

  test "one that is made by somebody else is not trusted, unless nothing is checked", %{server: server} do
    other = start_supervised!({Server, port: 0, tls: :self_made}, id: make_ref())
    host = "127.0.0.1:#{Server.port(server)}"

    assert {:error, %Error{reason: :certificate, retry?: false, message: message}} =
             refusal(hosts: [host], tls_ca_file: Server.ca_file(other))

    for part <- [host, "is not issued by", Server.ca_file(other)], do: assert(message =~ part)
    assert {:ok, _} = refusal(hosts: [host], tls_verify_cert: false)
  end

  test "who speaks plainly to it is told so, and so is who encrypts to one that does not", %{server: server} do
    assert {:error, %Error{message: message}} =
             refusal(hosts: ["127.0.0.1:#{Server.port(server)}"], tls: false)

    assert message =~ "tls=true"

    %{server: plain} = start()

    assert {:error, %Error{message: message}} =
             refusal(hosts: ["127.0.0.1:#{Server.port(plain)}"], tls_ca_file: Server.ca_file(server))

    assert message =~ "tls=false"
  end

  test "a subscription ends with what is wrong with a certificate", %{server: server} do
    string = "esdb://127.0.0.1:#{Server.port(server)}?tlsCaFile=" <> encoded(Server.ca_file(start_other()))

    {:ok, subscription} =
      LinearSubscription.start_link(
        connection: string,
        stream_name: "s",
        restore_stream_position!: fn -> :start end
      )

    assert_receive {:EXIT, ^subscription, %Error{reason: :certificate, message: message}}, 10_000
    assert message =~ "is not issued by"
  end

  defp start_other, do: start_supervised!({Server, port: 0, tls: :self_made}, id: make_ref())
  defp encoded(path), do: URI.encode(path, &URI.char_unreserved?/1)
end
