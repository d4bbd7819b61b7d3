package ml.raydp.cluster;

import java.io.Serializable;
import org.apache.spark.rpc.RpcEndpointRef;

/** What the driver and the AppMaster say to each other over Spark's own, authenticated RPC. */
final class Messages {

  /** AppMaster to driver, first of all; answered by the number of executors to keep. */
  record Register(RpcEndpointRef master) implements Serializable {}

  /** AppMaster to driver; answered by an id that no executor of this application has had. */
  record NextExecutorId() implements Serializable {}

  /** AppMaster to driver: an executor that nobody has asked to end has ended. */
  record Lost(String executorId, String reason) implements Serializable {}

  /** Driver to AppMaster. */
  record KeepExecutors(int number) implements Serializable {}

  /** Driver to AppMaster: end these, ids joined by commas. */
  record Kill(String executorIds) implements Serializable {}

  private Messages() {}
}
