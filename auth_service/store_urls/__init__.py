"""What DATABASE_URL and REDIS_URL say."""
